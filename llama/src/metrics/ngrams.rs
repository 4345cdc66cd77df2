//! Runs of n words or characters, counted.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` items occurs.
pub fn ngrams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// Runs of `n` items that both texts have, each counted as often as the text that has it less often.
pub fn matches<T: Eq + Hash>(prediction: &[T], reference: &[T], n: usize) -> usize {
    let wanted = ngrams(reference, n);
    let found = ngrams(prediction, n);
    found.iter().map(|(ngram, count)| wanted.get(ngram).map_or(0, |wanted| *count.min(wanted))).sum()
}

/// Runs of `n` in a text of `items` items.
pub fn total(items: usize, n: usize) -> usize {
    (items + 1).saturating_sub(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_matches_as_often_as_the_rarer_side_has_it() {
        let (prediction, reference) = (["the"; 7], ["the", "cat", "the"]);
        assert_eq!(matches(&prediction, &reference, 1), 2);
        assert_eq!(matches(&prediction, &reference, 2), 0);
        assert_eq!((total(7, 1), total(7, 4), total(3, 4), total(0, 1)), (7, 4, 0, 0));
    }
}
