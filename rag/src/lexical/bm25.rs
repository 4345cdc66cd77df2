//! BM25: how much a word says, and how much of it a text has.

use std::ops::{AddAssign, SubAssign};

/// How soon a term's repetitions stop counting.
const K1: f32 = 1.2;
/// How much longer texts are held back, in `[0, 1]`.
const B: f32 = 0.75;

/// What texts of one kind (passages, or whole documents) are compared with. Copies of a text are left out:
/// a footer under every article does not make its words common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Distinct texts.
    pub texts: u32,
    /// Their terms together, with repetitions.
    pub length: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.texts += other.texts;
        self.length += other.length;
    }
}

impl SubAssign for Totals {
    fn sub_assign(&mut self, other: Totals) {
        self.texts = self.texts.saturating_sub(other.texts);
        self.length = self.length.saturating_sub(other.length);
    }
}

impl Totals {
    /// How much a term says: `ln(1 + (N - n + 0.5) / (n + 0.5))`, with `n` of `N` texts having it.
    pub fn weight(self, n: u32) -> f32 {
        let n = n as f32;
        (((self.texts as f32 - n).max(0.0) + 0.5) / (n + 0.5)).ln_1p()
    }

    /// The score of a text that has a term `count` times.
    ///
    /// `weight · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))`
    ///
    /// Source: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.15.
    pub fn score(self, weight: f32, count: u32, length: u32) -> f32 {
        let mean = (self.length as f32 / self.texts.max(1) as f32).max(1.0);
        let count = count as f32;
        weight * (count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length as f32 / mean)))
    }

    /// A bound of what a word of that weight adds to a score.
    pub fn most(weight: f32) -> f32 {
        weight * (K1 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_terms_repetitions_and_short_texts_count_more() {
        let totals = Totals { texts: 100, length: 1000 };
        assert!(totals.weight(0) > totals.weight(1) && totals.weight(1) > totals.weight(50));
        assert!(totals.weight(200) >= 0.0, "more texts than there are is no reason to fail");
        let score = |count, length| totals.score(2.0, count, length);
        assert!(score(2, 10) > score(1, 10) && score(1, 5) > score(1, 10));
        assert!(score(1000, 1) < Totals::most(2.0));
    }
}
