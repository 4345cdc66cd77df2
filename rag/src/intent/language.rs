//! The language of a short message, by the words of the examples and by `whichlang`.

use std::collections::{BTreeSet, HashMap};

use whichlang::Lang;

use super::Example;
use super::message::{Message, words};

/// What the detector's guess counts against words: it is often wrong on few letters.
const GUESS: f32 = 0.2;
/// And more for each further word.
const GUESS_PER_WORD: f32 = 0.3;

/// The words that are known of each language.
#[derive(Debug, Clone, Default)]
pub(super) struct Languages {
    /// Each word's languages, as indices of `tags`.
    words: HashMap<String, BTreeSet<usize>>,
    tags: Vec<String>,
}

impl Languages {
    pub fn of(examples: &[Example]) -> Self {
        let mut languages = Languages::default();
        for example in examples {
            let tag = languages.number(&example.language);
            for word in words(&example.text) {
                languages.words.entry(word).or_default().insert(tag);
            }
        }
        languages
    }

    fn number(&mut self, tag: &str) -> usize {
        self.tags.iter().position(|known| known == tag).unwrap_or_else(|| {
            self.tags.push(tag.to_string());
            self.tags.len() - 1
        })
    }

    /// The tag of the language that `text` seems to be in: that of the examples that has most of its words, or
    /// what the detector says. A word counts less, the more languages have it.
    pub fn detect(&self, text: &str) -> &str {
        let message = Message::of(text);
        let mut votes = vec![0.0f32; self.tags.len()];
        for word in message.sentences.iter().flatten() {
            let Some(tags) = self.words.get(word) else { continue };
            for tag in tags {
                if let Some(vote) = votes.get_mut(*tag) {
                    *vote += 1.0 / tags.len() as f32;
                }
            }
        }
        let guess = tag(whichlang::detect_language(text));
        let weight = GUESS + GUESS_PER_WORD * message.count() as f32;
        if let Some(number) = self.tags.iter().position(|known| known == guess) {
            if let Some(vote) = votes.get_mut(number) {
                *vote += weight;
            }
        } else if votes.iter().all(|vote| *vote < weight) {
            return guess; // a language without examples, that no words of another outweigh
        }
        let best = votes.iter().zip(&self.tags).max_by(|a, b| a.0.total_cmp(b.0));
        best.map_or(guess, |(_, tag)| tag)
    }
}

/// ISO 639-1.
fn tag(language: Lang) -> &'static str {
    match language {
        Lang::Ara => "ar",
        Lang::Cmn => "zh",
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Hin => "hi",
        Lang::Ita => "it",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Nld => "nl",
        Lang::Por => "pt",
        Lang::Rus => "ru",
        Lang::Spa => "es",
        Lang::Swe => "sv",
        Lang::Tur => "tr",
        Lang::Vie => "vi",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Examples;

    #[test]
    fn short_messages_have_a_language() {
        let examples = Examples::shipped().unwrap();
        let languages = Languages::of(examples.list());
        for (text, language) in [
            ("hi", "en"),
            ("thanks!", "en"),
            ("vielen dank", "de"),
            ("Tschüss", "de"),
            ("gracias", "es"),
            ("¿Dónde está mi pedido?", "es"),
            ("merci", "fr"),
            ("grazie mille", "it"),
            ("obrigado", "pt"),
            ("bedankt", "nl"),
            ("Kann ich den Zeltboden einzeln nachbestellen?", "de"),
            ("Can I order the groundsheet of the tent separately?", "en"),
            ("Где мой заказ?", "ru"),
            ("我的订单在哪里", "zh"),
        ] {
            assert_eq!(languages.detect(text), language, "{text}");
        }
        assert_eq!(Languages::default().detect("Where is my order?"), "en");
    }
}
