//! BLEU as sacrebleu 2.6 computes it by default: case kept, tokenizer 13a, exponential smoothing.
//!
//! `BLEU = 100 · min(1, exp(1 − r/c)) · exp(mean(ln p_n))`
//!
//! Where:
//! - `c`, `r`: words of the predictions and of the references
//! - `p_n`: share of the predictions' runs of n words (n = 1 … 4) that the references have
//!
//! Source: Papineni et al. 2002, ACL P02-1040; Post 2018, arXiv:1804.08771.

use super::comparison::{Comparison, is_python_space};
use super::ngrams::{matches, total};
use super::tokenizer_13a::tokenize;

/// Longest run of words that counts.
const ORDER: usize = 4;

/// BLEU of all pairs together, from 0 to 100; 0 if there are none. Matches are summed before anything
/// is divided, so it is not the mean of [`sentence_bleu`].
pub fn corpus_bleu<'a>(pairs: impl IntoIterator<Item = Comparison<'a>>) -> f64 {
    let mut statistics = BleuStatistics::default();
    pairs.into_iter().for_each(|pair| statistics.add(pair));
    statistics.bleu(NgramOrders::Full)
}

/// BLEU of one pair, from 0 to 100. A prediction of fewer than 4 words is measured by the runs it has
/// (sacrebleu's `effective_order`).
pub fn sentence_bleu(pair: Comparison<'_>) -> f64 {
    let mut statistics = BleuStatistics::default();
    statistics.add(pair);
    statistics.bleu(NgramOrders::Effective)
}

/// Over which runs the mean is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NgramOrders {
    Full,
    /// Only runs of lengths that the predictions have.
    Effective,
}

#[derive(Debug, Default)]
struct BleuStatistics {
    prediction_words: usize,
    reference_words: usize,
    /// Runs of n + 1 words that match, and all that the predictions have.
    matches: [usize; ORDER],
    totals: [usize; ORDER],
}

impl BleuStatistics {
    fn add(&mut self, pair: Comparison<'_>) {
        let (prediction, reference) = (tokenize(pair.prediction), tokenize(pair.reference));
        let (prediction, reference) = (words(&prediction), words(&reference));
        self.prediction_words += prediction.len();
        self.reference_words += reference.len();
        for (n, (found, all)) in (1..).zip(self.matches.iter_mut().zip(&mut self.totals)) {
            *found += matches(&prediction, &reference, n);
            *all += total(prediction.len(), n);
        }
    }

    fn bleu(&self, order: NgramOrders) -> f64 {
        if self.matches.iter().all(|&found| found == 0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut logs = Vec::with_capacity(ORDER);
        for (&found, &all) in self.matches.iter().zip(&self.totals).take_while(|(_, all)| **all > 0) {
            // Each order without a match counts as half a match, then a quarter, and so on.
            let found = if found > 0 {
                found as f64
            } else {
                smoothing /= 2.0;
                smoothing
            };
            logs.push((found / all as f64).ln());
        }
        if order == NgramOrders::Full && logs.len() < ORDER {
            return 0.0;
        }
        let (c, r) = (self.prediction_words as f64, self.reference_words as f64);
        let brevity = if c < r { (1.0 - r / c).exp() } else { 1.0 };
        100.0 * brevity * (logs.iter().sum::<f64>() / logs.len() as f64).exp()
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(is_python_space).filter(|word| !word.is_empty()).collect()
}
