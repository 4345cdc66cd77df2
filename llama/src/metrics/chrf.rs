//! chrF as sacrebleu 2.6 computes it by default (chrF2): runs of 1 to 6 characters, case kept, white
//! space left out.
//!
//! `chrF = 100 · (1 + β²) · P · R / (β² · P + R)`, β = 2
//!
//! Where:
//! - `P`, `R`: precision and recall of the runs of n characters, averaged over the n that both sides
//!   have runs of
//!
//! Source: Popović 2015, ACL W15-3049.

use super::comparison::{Comparison, is_python_space};
use super::ngrams::{matches, total};

/// Longest run of characters that counts.
const ORDER: usize = 6;
const BETA: f64 = 2.0;

/// chrF of all pairs together, from 0 to 100; 0 if there are none. Matches are summed before anything
/// is divided, so it is not the mean of [`sentence_chrf`].
pub fn corpus_chrf<'a>(pairs: impl IntoIterator<Item = Comparison<'a>>) -> f64 {
    let mut statistics = ChrfStatistics::default();
    pairs.into_iter().for_each(|pair| statistics.add(pair));
    statistics.chrf()
}

/// chrF of one pair, from 0 to 100.
pub fn sentence_chrf(pair: Comparison<'_>) -> f64 {
    corpus_chrf([pair])
}

/// Of the runs of n + 1 characters.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    prediction: usize,
    reference: usize,
    matches: usize,
}

#[derive(Debug, Default)]
struct ChrfStatistics([Count; ORDER]);

impl ChrfStatistics {
    fn add(&mut self, pair: Comparison<'_>) {
        let (prediction, reference) = (characters(pair.prediction), characters(pair.reference));
        for (n, count) in (1..).zip(&mut self.0) {
            let wanted = total(reference.len(), n);
            count.reference += wanted;
            // Runs that the reference is too short for are no mistake.
            if wanted > 0 {
                count.prediction += total(prediction.len(), n);
                count.matches += matches(&prediction, &reference, n);
            }
        }
    }

    fn chrf(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for count in self.0.iter().filter(|count| count.prediction > 0 && count.reference > 0) {
            precision += count.matches as f64 / count.prediction as f64;
            recall += count.matches as f64 / count.reference as f64;
            orders += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let weight = BETA * BETA;
        100.0 * (1.0 + weight) * precision * recall / (weight * precision + recall)
    }
}

fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|&character| !is_python_space(character)).collect()
}
