//! Words and phrases looked for in a text.

/// Phrases set apart by `|`, in lower case. One that ends with `*` is the beginning of a word.
pub(crate) type Phrases = &'static str;

/// A text in which phrases are looked for: its words in lower case with single spaces, one before and one after.
#[derive(Debug)]
pub(crate) struct Plain(String);

impl Plain {
    pub fn of(text: &str) -> Self {
        let lower = text.to_lowercase().replace(['?', '!', ',', '.', ';', ':', '(', ')', '*', '¿', '¡'], " ");
        let words: Vec<&str> = lower.split_whitespace().collect();
        Plain(format!(" {} ", words.join(" ")))
    }

    /// Whether one of `phrases` stands in the text.
    pub fn has(&self, phrases: Phrases) -> bool {
        phrases.split('|').any(|phrase| {
            let (start, is_beginning) = match phrase.strip_suffix('*') {
                Some(start) => (start, true),
                None => (phrase, false),
            };
            self.0.match_indices(start).any(|(at, _)| {
                let after = self.0.get(at + start.len()..).unwrap_or_default();
                self.0.get(..at).is_some_and(|before| before.ends_with(' '))
                    && (is_beginning || after.starts_with(' '))
            })
        })
    }

    /// Whether the text is these words and no others.
    pub fn is(&self, words: &str) -> bool {
        self.0.trim() == words
    }

    /// Whether the text begins with one of `phrases`.
    pub fn begins(&self, phrases: Phrases) -> bool {
        let text = self.0.trim_start();
        phrases.split('|').any(|start| text.strip_prefix(start).is_some_and(|rest| rest.starts_with(' ')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_whole_words_or_their_beginnings() {
        let text = Plain::of("Do you ship?\nHow  long does shipping take (in days)");
        assert!(
            text.has("x|how long")
                && text.has("ship*")
                && text.has("days")
                && text.begins("can|do")
                && Plain::of("Why?").is("why")
        );
        assert!(!text.has("hip") && !text.has("long do") && !text.has("day") && !text.begins("d"));
    }
}
