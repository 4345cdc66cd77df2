//! How close a model's answers come to the answers that were wanted.
//!
//! BLEU and chrF are sacrebleu's, ROUGE is that of Google's `rouge-score`, each in its library's
//! defaults and range, so that the numbers can be set beside published ones. [`Evaluation`] sums up a
//! whole data set.

mod bleu;
mod chrf;
mod evaluation;
mod ngrams;
mod porter;
mod rouge;
mod tokenizer_13a;

pub use bleu::{corpus_bleu, sentence_bleu};
pub use chrf::{corpus_chrf, sentence_chrf};
pub use evaluation::{Answer, Evaluation, Scores};
pub use rouge::{Rouge, RougeScore, RougeScores};

/// What was answered, and what should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The model's answer.
    pub prediction: &'a str,
    /// The answer that was wanted.
    pub reference: &'a str,
}

/// Whether the answer is the one wanted, but for white space around it.
pub fn exact_match(pair: Pair<'_>) -> bool {
    pair.prediction.trim() == pair.reference.trim()
}

/// White space as Python's `str.split` sees it: Unicode's, and four control characters that separate
/// files, groups, records and units.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod reference_tests;
