//! Words of a text as the guard compares them: stems of what carries content, negations, clauses.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::polarity::{Role, role};
use super::stop_words::is_stop_word_of;
use crate::lexical::Language;

/// A word of a text.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub range: Range<usize>,
    /// In lower case.
    pub lower: String,
    /// Whether it says something by itself.
    pub has_content: bool,
    /// Which clause it stands in; clauses are apart in polarity.
    pub clause: usize,
    /// Which statement it stands in, of those that "and" and "or" join.
    pub statement: usize,
    pub is_negation: bool,
    /// Whether it has a capital where none is due.
    pub is_name: bool,
}

impl Word {
    /// Its stem in `language`.
    pub fn stem(&self, language: Language) -> String {
        language.stem(self.lower.strip_suffix("'s").unwrap_or(&self.lower))
    }
}

/// The words of `text`, which is read as `language`.
pub(super) fn words(text: &str, language: Language) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut clause, mut statement) = (0, 0);
    let mut end = 0;
    for (at, written) in text.unicode_word_indices() {
        let between = text.get(end..at).unwrap_or_default();
        if between.contains([',', ';', ':', '(', ')', '–', '—', '.', '!', '?', '…', '\n', '。', '、'])
        {
            clause += 1;
            statement += 1;
        }
        end = at + written.len();
        let lower = written.to_lowercase().replace('’', "'");
        // l'abonnement, dell'ordine: the article says nothing.
        let lower = match lower.split_once('\'') {
            Some((article, rest)) if article.chars().count() <= 2 && rest.chars().count() >= 3 => rest.into(),
            _ => lower,
        };
        let role = role(&lower);
        if role == Some(Role::Contrast) {
            clause += 1;
        }
        if matches!(role, Some(Role::Contrast | Role::Joint)) {
            statement += 1;
        }
        if role == Some(Role::Harmless)
            && let Some(last) = words.last_mut()
        {
            // "no longer" and "nicht mehr" do deny.
            last.is_negation &= matches!(lower.as_str(), "longer" | "mehr" | "plus");
        }
        let is_first =
            words.is_empty() || !between.chars().all(char::is_whitespace) && !between.ends_with(", ");
        let is_name = !is_first && written.chars().any(char::is_uppercase) && written.chars().count() > 1;
        let has_content = !is_stop_word_of(&lower, language) && lower.contains(char::is_alphabetic);
        let is_negation = role == Some(Role::Negation);
        words.push(Word { range: at..end, is_name, is_negation, lower, has_content, clause, statement });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_stems_and_the_rest_has_none() {
        let stems = |text, language| -> Vec<String> {
            words(text, language)
                .iter()
                .filter(|word| word.has_content)
                .map(|word| word.stem(language))
                .collect()
        };
        assert_eq!(
            stems("You can cancel your orders within 24 hours.", Language::English),
            ["cancel", "order", "hour"]
        );
        assert_eq!(
            stems("Die Lieferung dauert bis zu drei Tage.", Language::German),
            ["liefer", "dauert", "drei", "tag"]
        );
        assert_eq!(stems("l’abonnement n'est pas gratuit", Language::French), ["abon", "gratuit"]);
    }

    #[test]
    fn clauses_have_their_own_polarity() {
        let said = words("You can return it, but not opened food; no later than May", Language::English);
        let negated: Vec<_> = said.iter().filter(|word| word.is_negation).map(|word| word.clause).collect();
        let food = said.iter().find(|word| word.lower == "food").map(|word| word.clause);
        assert_eq!(negated.len(), 1);
        assert_eq!(negated.first().copied(), food);
        assert_ne!(food, Some(0));
    }

    #[test]
    fn names_have_a_capital_where_none_is_due() {
        let said = words("Ask Acme: Call us. We, Hill and I, ship.", Language::English);
        let names: Vec<_> = said.iter().filter(|word| word.is_name).map(|word| word.lower.as_str()).collect();
        assert_eq!(names, ["acme", "hill"]);
    }
}
