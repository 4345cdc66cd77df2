//! The scores of candidates, and the share of belief that none holds the answer.

use std::collections::BTreeMap;

use llama::hub::catalog::DEFAULT_EMBEDDER;
use serde::{Deserialize, Serialize};

use super::features::{CANDIDATE, Features, NONE};

/// The weights that come with the program, by the names of their embedders: what a likeness is worth is the
/// embedder's.
const SHIPPED: [(&str, &str); 1] = [(DEFAULT_EMBEDDER, include_str!("../../assets/evidence.json"))];

/// Weights of a conditional logit model (McFadden 1974): a candidate's probability is
/// `exp(w · x) / (exp(v · z) + Σ exp(w · x'))`, `x` being its numbers and `z` those of the case that no
/// candidate holds the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceWeights {
    /// By the names of the candidates' numbers.
    candidate: BTreeMap<String, f32>,
    /// By the names of the numbers of no answer.
    none: BTreeMap<String, f32>,
}

impl EvidenceWeights {
    /// The weights that come with the program for the embedder of that name in the catalog: fitted by
    /// `server calibrate` on generated questions. `None` if none were fitted for it. A test holds them to this
    /// build's numbers.
    pub fn shipped(embedder: &str) -> Option<Self> {
        let (_, json) = SHIPPED.iter().find(|(name, _)| *name == embedder)?;
        serde_json::from_str(json).ok()
    }

    /// Cosine plus half of the share of words: what can be done without fitting.
    pub fn plain() -> Self {
        let candidate = [("cosine_titled", 8.0), ("words_with_headings", 4.0)];
        let none = [("bias", 4.5)];
        let named = |weights: &[(&str, f32)]| {
            weights.iter().map(|(name, weight)| (name.to_string(), *weight)).collect()
        };
        EvidenceWeights { candidate: named(&candidate), none: named(&none) }
    }

    pub(super) fn of(candidate: &[f32], none: &[f32]) -> Self {
        let named = |names: &[&str], weights: &[f32]| {
            names.iter().zip(weights).map(|(name, weight)| (name.to_string(), *weight)).collect()
        };
        EvidenceWeights { candidate: named(&CANDIDATE, candidate), none: named(&NONE, none) }
    }

    /// Whether every weight is a finite number: a comparison with anything else is false, and answers.
    pub fn is_finite(&self) -> bool {
        self.candidate.values().chain(self.none.values()).all(|weight| weight.is_finite())
    }

    /// Names in the file that this build does not compute.
    pub fn unknown(&self) -> Vec<String> {
        let unknown = |weights: &BTreeMap<String, f32>, names: &[&str]| -> Vec<String> {
            weights.keys().filter(|name| !names.contains(&name.as_str())).cloned().collect()
        };
        [unknown(&self.candidate, &CANDIDATE), unknown(&self.none, &NONE)].concat()
    }

    /// Each candidate's probability, and that of no answer.
    pub fn probabilities(&self, features: &Features) -> (Vec<f32>, f32) {
        let (candidates, none) = self.scores(features);
        softmax(&candidates, none)
    }

    /// Each candidate's score, and that of no answer: their probabilities' logarithms, but for a constant.
    pub fn scores(&self, features: &Features) -> (Vec<f32>, f32) {
        scores(&in_order(&self.candidate, &CANDIDATE), &in_order(&self.none, &NONE), features)
    }
}

fn in_order(weights: &BTreeMap<String, f32>, names: &[&str]) -> Vec<f32> {
    names.iter().map(|name| weights.get(*name).copied().unwrap_or_default()).collect()
}

/// Scores by weights, in the order of the numbers.
pub(super) fn scores(candidate: &[f32], none: &[f32], features: &Features) -> (Vec<f32>, f32) {
    let score = |weights: &[f32], x: &[f32]| weights.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    (features.candidates.iter().map(|x| score(candidate, x)).collect(), score(none, &features.none))
}

/// The share of `exp(score)` that each candidate has, and that of no answer.
pub(super) fn softmax(candidates: &[f32], none: f32) -> (Vec<f32>, f32) {
    let most = candidates.iter().copied().fold(none, f32::max);
    let raised: Vec<f32> = candidates.iter().map(|score| (score - most).exp()).collect();
    let none = (none - most).exp();
    let sum = raised.iter().sum::<f32>() + none;
    (raised.into_iter().map(|x| x / sum).collect(), none / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_weights_are_those_of_this_builds_numbers() {
        for (name, _) in SHIPPED {
            let shipped = EvidenceWeights::shipped(name).expect(name);
            assert!(shipped.unknown().is_empty() && shipped.is_finite(), "{name}");
            assert_eq!(
                (shipped.candidate.len(), shipped.none.len()),
                (CANDIDATE.len(), NONE.len()),
                "{name}"
            );
        }
        assert!(EvidenceWeights::shipped("gpt-5").is_none());
    }
}
