//! How good a ranking of documents is, by judged questions.

use std::collections::HashMap;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;

/// The quality of one question's ranking, each in `[0, 1]`; a question without a relevant document has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Whether the first document is relevant.
    pub hit_1: f64,
    /// Whether one of the first three is.
    pub hit_3: f64,
    /// Share of the relevant documents among the first 5.
    pub recall_5: f64,
    /// Share of the relevant documents among the first 50.
    pub recall_50: f64,
    /// 1 / rank of the first relevant document, 0 beyond the tenth.
    pub mrr_10: f64,
    /// Normalised discounted cumulative gain of the first ten, as trec_eval has it:
    /// `sum gain / log2(1 + rank)` over that of the best order.
    ///
    /// Source: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    pub ndcg_10: f64,
}

impl Quality {
    /// Judges `ranking`, the ids of documents from the best on, by the gain of each relevant document.
    /// `None` if no document is relevant.
    pub fn of(ranking: &[&str], gains: &HashMap<String, f64>) -> Option<Quality> {
        let relevant = gains.values().filter(|gain| **gain > 0.0).count();
        if relevant == 0 {
            return None;
        }
        let gain = |document: &&str| gains.get(*document).copied().unwrap_or_default().max(0.0);
        let among = |first: usize| ranking.iter().take(first).filter(|document| gain(document) > 0.0).count();
        let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
            gains.take(10).zip(2..).map(|(gain, rank)| gain / f64::from(rank).log2()).sum()
        };
        let mut best: Vec<f64> = gains.values().copied().filter(|gain| *gain > 0.0).collect();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        let first = ranking.iter().take(10).position(|document| gain(document) > 0.0);
        Some(Quality {
            hit_1: f64::from(among(1) > 0),
            hit_3: f64::from(among(3) > 0),
            recall_5: among(5) as f64 / relevant as f64,
            recall_50: among(50) as f64 / relevant as f64,
            mrr_10: first.map_or(0.0, |place| 1.0 / (place + 1) as f64),
            ndcg_10: discounted(&mut ranking.iter().map(gain)) / discounted(&mut best.into_iter()),
        })
    }
}

/// A mean and the interval that holds it in 95 of 100 resamples of the questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The mean of `values` and its bootstrap interval (Efron 1979), the same each time; all 0 for no values.
pub fn interval(values: &[f64]) -> Interval {
    let count = values.len().max(1);
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut state = 0u64;
    let mut draw = || {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count as u64) as usize
    };
    let mut resampled =
        || values.iter().map(|_| values.get(draw()).copied().unwrap_or_default()).sum::<f64>();
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resampled() / count as f64).collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means.get((share * RESAMPLES as f64) as usize).copied().unwrap_or(mean);
    Interval { mean, low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gains(relevant: &[(&str, f64)]) -> HashMap<String, f64> {
        relevant.iter().map(|(id, gain)| (id.to_string(), *gain)).collect()
    }

    #[test]
    fn a_ranking_is_judged_by_where_the_relevant_documents_are() {
        let quality = Quality::of(&["x", "a", "y", "b"], &gains(&[("a", 1.0), ("b", 1.0)])).unwrap();
        assert_eq!((quality.hit_1, quality.hit_3, quality.recall_5, quality.mrr_10), (0.0, 1.0, 1.0, 0.5));
        // 1/log2(3) + 1/log2(5), of 1 + 1/log2(3)
        assert!((quality.ndcg_10 - 0.650_921).abs() < 1e-6, "{}", quality.ndcg_10);
        assert_eq!(Quality::of(&["a"], &gains(&[("a", 3.0)])).unwrap().ndcg_10, 1.0);
        assert_eq!(Quality::of(&[], &gains(&[("a", 3.0)])).unwrap().ndcg_10, 0.0);
        assert_eq!(Quality::of(&["a"], &gains(&[("a", 0.0)])), None);
    }

    #[test]
    fn a_more_relevant_document_first_is_better() {
        let gains = gains(&[("a", 2.0), ("b", 1.0)]);
        let of = |ranking: &[&str]| Quality::of(ranking, &gains).unwrap().ndcg_10;
        assert!(of(&["a", "b"]) == 1.0 && of(&["b", "a"]) < 1.0);
    }

    #[test]
    fn the_interval_narrows_with_more_values() {
        let few = interval(&[0.0, 1.0, 1.0, 0.0, 1.0]);
        let many = interval(&[0.0, 1.0, 1.0, 0.0, 1.0].repeat(100));
        assert!(few.low <= few.mean && few.mean <= few.high && (few.mean - 0.6).abs() < 1e-9);
        assert!(many.high - many.low < (few.high - few.low) / 3.0);
        assert_eq!(interval(&[]), Interval { mean: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(interval(&[1.0; 9]), Interval { mean: 1.0, low: 1.0, high: 1.0 });
    }
}
