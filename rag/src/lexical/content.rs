//! The words of a text that say what it is about.

use super::language::Language;
use super::term;
use super::words::{Word, words};
use crate::guard::is_stop_word_of;

/// The stems of the words of `text`, without those that stand in every text of the language (`the`, `how`),
/// in its order, with repetitions.
pub(crate) fn content_words(text: &str, language: Language) -> Vec<String> {
    let is_content = |word: &Word| match word {
        Word::Plain(word) => !is_stop_word_of(word, language),
        _ => true,
    };
    words(text).into_iter().filter(is_content).map(|word| term(&word, language)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_text_are_left_out() {
        let english = content_words("How do I cancel my orders?", Language::English);
        assert_eq!(english, ["cancel", "order"]);
        let german = content_words("Kann ich die Bestellung ändern?", Language::German);
        assert_eq!(german, [Language::German.stem("bestellung"), Language::German.stem("ändern")]);
        assert_eq!(content_words("取消", Language::Other), ["~取消"]);
    }
}
