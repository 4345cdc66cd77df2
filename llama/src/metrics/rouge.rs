//! ROUGE as Google's `rouge-score` 0.1.2 computes it: lower case, words of a–z and 0–9.
//!
//! `F = 2 · P · R / (P + R)`
//!
//! Where, for ROUGE-1 and ROUGE-2:
//! - `P`, `R`: share of the prediction's, and of the reference's, single words and pairs of words that
//!   the other has
//!
//! and for ROUGE-L:
//! - `P`, `R`: length of the longest common subsequence of words by the words of each
//!
//! Source: Lin 2004, ACL W04-1013.

use super::comparison::Comparison;
use super::ngrams::{matches, total};
use super::porter;

/// How words are compared. The default, like `rouge-score`'s, is without stemming.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rouge {
    /// Whether words of more than three letters are reduced to their stems first, so that "orders" is
    /// "ordered".
    pub use_stemmer: bool,
}

/// The scores of one pair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RougeScores {
    /// Of single words.
    pub rouge1: RougeScore,
    /// Of pairs of words.
    pub rouge2: RougeScore,
    /// Of the longest common subsequence.
    pub rouge_l: RougeScore,
}

/// A score from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RougeScore {
    /// Share of the prediction that the reference has.
    pub precision: f64,
    /// Share of the reference that the prediction has.
    pub recall: f64,
    /// Their harmonic mean: the figure that is usually given.
    pub fmeasure: f64,
}

impl Rouge {
    /// Scores one pair.
    pub fn score(&self, pair: Comparison<'_>) -> RougeScores {
        let (prediction, reference) = (self.words(pair.prediction), self.words(pair.reference));
        let of_runs = |n| {
            let found = matches(&prediction, &reference, n);
            RougeScore::new(found, total(prediction.len(), n), total(reference.len(), n))
        };
        RougeScores {
            rouge1: of_runs(1),
            rouge2: of_runs(2),
            rouge_l: RougeScore::new(
                longest_common_subsequence(&prediction, &reference),
                prediction.len(),
                reference.len(),
            ),
        }
    }

    fn words(&self, text: &str) -> Vec<String> {
        let text = text.to_lowercase();
        let is_word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
        let words = text.split(|character| !is_word(character)).filter(|word| !word.is_empty());
        words
            .map(|word| match self.use_stemmer && word.len() > 3 {
                true => porter::stem(word),
                false => word.to_owned(),
            })
            .collect()
    }
}

impl RougeScore {
    fn new(common: usize, prediction: usize, reference: usize) -> Self {
        if common == 0 {
            return Self::default();
        }
        let (precision, recall) = (common as f64 / prediction as f64, common as f64 / reference as f64);
        Self { precision, recall, fmeasure: 2.0 * precision * recall / (precision + recall) }
    }
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut lengths = vec![0; b.len() + 1]; // of the words of `a` so far, by words of `b`
    for word in a {
        let mut diagonal = 0;
        for (column, other) in b.iter().enumerate() {
            let above = lengths[column + 1];
            lengths[column + 1] = if word == other { diagonal + 1 } else { above.max(lengths[column]) };
            diagonal = above;
        }
    }
    lengths[b.len()]
}
