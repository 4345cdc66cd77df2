//! Keys hit at random, told from words by their pairs of letters.

use std::collections::HashSet;

/// Share of letter pairs that no known word has, from which a text is gibberish.
const UNKNOWN: f32 = 0.45;
/// Fewer letters tell nothing: names, abbreviations.
const LETTERS: usize = 5;
/// More words are a message, however odd.
const WORDS: usize = 4;
/// Neighbouring keys that are hit in a row.
const ROWS: [&str; 6] = ["qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop"];

/// The pairs of letters that words have.
#[derive(Debug, Clone, Default)]
pub(super) struct LetterPairs {
    known: HashSet<(char, char)>,
}

impl LetterPairs {
    /// The pairs in words in lower case.
    pub fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        LetterPairs { known: words.flat_map(pairs).collect() }
    }

    /// Whether a message in lower-case words is nothing that anybody says. Only words in Latin letters are
    /// judged, and no message with a digit is: it may be a code.
    pub fn is_gibberish(&self, words: &[&str]) -> bool {
        let letters: usize = words.iter().map(|word| word.len()).sum();
        if words.len() > WORDS || !words.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase())) {
            return false;
        }
        if words.iter().all(|word| is_row(word)) && !words.is_empty() {
            return true;
        }
        let all: Vec<(char, char)> = words.iter().flat_map(|word| pairs(word)).collect();
        let unknown = all.iter().filter(|pair| !self.known.contains(pair)).count();
        letters >= LETTERS && unknown as f32 >= UNKNOWN * all.len() as f32
    }
}

fn pairs(word: &str) -> impl Iterator<Item = (char, char)> {
    word.chars().zip(word.chars().skip(1))
}

/// Four and more neighbouring keys, or one letter alone (a stretched one was shortened to one).
fn is_row(word: &str) -> bool {
    word.len() >= 4 && ROWS.iter().any(|row| row.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hit_at_random_are_no_words() {
        let known = "where is my order refund delivery password battery screen warranty account return \
                     charge bluetooth quick next express wifi";
        let pairs = LetterPairs::of(known.split_ascii_whitespace());
        for gibberish in [&["qwertyuiop"][..], &["asdf", "asdf"], &["kjhsd", "xqzk"], &["dfgkjhv"]] {
            assert!(pairs.is_gibberish(gibberish), "{gibberish:?}");
        }
        for said in [&["refunds"][..], &["vpn"], &["err4011"], &["заказ"], &["orders", "returned"], &[]]
        {
            assert!(!pairs.is_gibberish(said), "{said:?}");
        }
    }
}
