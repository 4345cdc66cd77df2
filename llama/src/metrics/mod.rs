//! How close a model's answers come to the answers that were wanted.
//!
//! BLEU and chrF are sacrebleu's, ROUGE is that of Google's `rouge-score`, each in its library's
//! defaults and range, so that the numbers can be set beside published ones. [`Evaluation`] sums up a
//! whole data set.

mod bleu;
mod chrf;
mod comparison;
mod evaluation;
mod ngrams;
mod porter;
mod rouge;
mod tokenizer_13a;

pub use bleu::{corpus_bleu, sentence_bleu};
pub use chrf::{corpus_chrf, sentence_chrf};
pub use comparison::{Comparison, exact_match};
pub use evaluation::{AnsweredRow, Evaluation, Scores};
pub use rouge::{Rouge, RougeScore, RougeScores};

#[cfg(test)]
mod reference_tests;
