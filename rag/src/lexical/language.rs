//! The language of a text, and the stems of its words.

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use whichlang::Lang;

/// Bytes of a text that its language is detected from: enough to be sure, whatever its length.
const SAMPLE: usize = 4000;

/// A language whose words have stems (Porter's Snowball algorithms), or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Language {
    Arabic,
    Dutch,
    English,
    French,
    German,
    Italian,
    Portuguese,
    Russian,
    Spanish,
    Swedish,
    Turkish,
    /// A language without stems here: its words are matched as they are.
    Other,
}

impl Language {
    /// The language that `text` seems to be written in.
    pub fn of(text: &str) -> Language {
        let sample = text.get(..text.floor_char_boundary(SAMPLE)).unwrap_or(text);
        match whichlang::detect_language(sample) {
            Lang::Ara => Language::Arabic,
            Lang::Nld => Language::Dutch,
            Lang::Eng => Language::English,
            Lang::Fra => Language::French,
            Lang::Deu => Language::German,
            Lang::Ita => Language::Italian,
            Lang::Por => Language::Portuguese,
            Lang::Rus => Language::Russian,
            Lang::Spa => Language::Spanish,
            Lang::Swe => Language::Swedish,
            Lang::Tur => Language::Turkish,
            _ => Language::Other,
        }
    }

    /// The language of a tag such as `de` or `pt-BR`; `None` for one without stems here.
    pub fn named(tag: &str) -> Option<Language> {
        let code = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        Some(match code.as_str() {
            "ar" => Language::Arabic,
            "nl" => Language::Dutch,
            "en" => Language::English,
            "fr" => Language::French,
            "de" => Language::German,
            "it" => Language::Italian,
            "pt" => Language::Portuguese,
            "ru" => Language::Russian,
            "es" => Language::Spanish,
            "sv" => Language::Swedish,
            "tr" => Language::Turkish,
            _ => return None,
        })
    }

    fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Language::Arabic => Algorithm::Arabic,
            Language::Dutch => Algorithm::Dutch,
            Language::English => Algorithm::English,
            Language::French => Algorithm::French,
            Language::German => Algorithm::German,
            Language::Italian => Algorithm::Italian,
            Language::Portuguese => Algorithm::Portuguese,
            Language::Russian => Algorithm::Russian,
            Language::Spanish => Algorithm::Spanish,
            Language::Swedish => Algorithm::Swedish,
            Language::Turkish => Algorithm::Turkish,
            Language::Other => return None,
        })
    }

    /// The stem of `word`, which is in lower case.
    pub fn stem(self, word: &str) -> String {
        match self.algorithm() {
            Some(algorithm) => Stemmer::create(algorithm).stem(word).into_owned(),
            None => word.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_the_endings_of_their_language() {
        let german = "Wie kann ich meine Bestellung stornieren, wenn sie schon verschickt wurde?";
        let spanish = "¿Cómo puedo cancelar mi pedido si ya ha sido enviado por la tienda?";
        let english = "How can I cancel my order if it has been shipped already?";
        assert_eq!(Language::of(german).stem("bestellungen"), Language::German.stem("bestellung"));
        assert_eq!(Language::of(spanish).stem("pedidos"), Language::Spanish.stem("pedido"));
        assert_eq!(Language::of(english).stem("cancelled"), "cancel");
        assert_eq!(Language::of("怎么取消订单？"), Language::Other);
        assert_eq!(Language::Other.stem("orders"), "orders");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let sentence = "Как отменить заказ, если он уже отправлен? ";
        assert_eq!(Language::of(&sentence.repeat(SAMPLE / 40)), Language::Russian);
        assert_eq!(Language::of(&format!(" {}", sentence.repeat(SAMPLE / 40))), Language::Russian);
    }
}
