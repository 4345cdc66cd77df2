//! Fusion: several rankings of the same documents become one.

use std::cmp::Ordering;
use std::collections::HashMap;

/// How slowly a rank's worth falls.
const K: f32 = 60.0;

/// Weighted reciprocal rank fusion of `rankings`, each with its weight and its documents from the best
/// on. Returns every document with its score, best first, equals in `order`.
///
/// `score(d) = (k + 1) / sum(w) · sum over rankings of w / (k + rank of d)`, ranks from 1
///
/// The score is in `[0, 1]`: 1 for what is first everywhere.
///
/// Source: Cormack, Clarke & Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet".
pub fn fuse(rankings: &[(f32, Vec<usize>)], order: impl Fn(usize, usize) -> Ordering) -> Vec<(usize, f32)> {
    let total: f32 = rankings.iter().map(|(weight, _)| weight).sum();
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for (weight, documents) in rankings.iter().filter(|(weight, _)| *weight > 0.0) {
        for (rank, document) in documents.iter().enumerate() {
            *scores.entry(*document).or_default() += weight / total * (K + 1.0) / (K + 1.0 + rank as f32);
        }
    }
    let mut fused: Vec<(usize, f32)> = scores.into_iter().collect();
    fused.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| order(a.0, b.0)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rankings: &[(f32, Vec<usize>)]) -> Vec<usize> {
        fuse(rankings, |a, b| a.cmp(&b)).into_iter().map(|(document, _)| document).collect()
    }

    #[test]
    fn what_is_high_in_both_is_first() {
        assert_eq!(order(&[(1.0, vec![1, 2, 3]), (1.0, vec![4, 2, 5])])[0], 2);
        let best = fuse(&[(0.3, vec![7, 1]), (0.6, vec![7, 2])], |a, b| a.cmp(&b))[0];
        assert!(best.0 == 7 && (best.1 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn weights_decide_between_rankings_and_zero_leaves_one_out() {
        assert_eq!(order(&[(2.0, vec![1, 2]), (1.0, vec![2, 1])]), [1, 2]);
        assert_eq!(order(&[(1.0, vec![1, 2]), (2.0, vec![2, 1])]), [2, 1]);
        assert_eq!(order(&[(1.0, vec![1]), (0.0, vec![2])]), [1]);
        assert_eq!(order(&[(0.0, vec![2])]), [0usize; 0]);
    }
}
