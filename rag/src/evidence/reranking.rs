//! A second look at the likeliest evidence, by a cross-encoder.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::features::Features;
use super::fit::{Example, descend};
use super::model::{scores, softmax};
use crate::{CrossEncoder, RagError};

/// Name of the weights in the cross-encoder's folder.
const FILE: &str = "reranking.json";

/// Candidates of one forward pass, at most.
const MOST_DEPTH: usize = 64;
/// Larger weights are a mistake, and could make scores infinite.
const MOST_WEIGHT: f32 = 1000.0;

/// A cross-encoder, and what its scores count.
#[derive(Debug)]
pub struct Reranker {
    cross_encoder: CrossEncoder,
    weights: RerankingWeights,
}

/// What the scores of a cross-encoder count beside those of the numbers of evidence: another conditional logit, of
/// two numbers of each candidate and three of none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankingWeights {
    /// Candidates that are read, the likeliest ones; the others are taken to answer nothing.
    depth: usize,
    /// Weight, in a candidate's score, of its score by its numbers.
    by_numbers: f32,
    /// Weight, in a candidate's score, of its score by the cross-encoder.
    read: f32,
    /// Constant part of the score of no answer.
    none: f32,
    /// Weight, in the score of no answer, of its score by its numbers.
    none_by_numbers: f32,
    /// Weight, in the score of no answer, of the best score by the cross-encoder.
    none_best_read: f32,
}

impl Reranker {
    /// Opens a cross-encoder that is an adapter on a sentence encoder, with its weights if `server calibrate` has
    /// written them.
    ///
    /// # Errors
    /// If a file is missing or is not what it should be.
    pub fn open(encoder: &Path, adapter: &Path, device: &Device) -> Result<Self, RagError> {
        let cross_encoder = CrossEncoder::open(encoder, adapter, device)?;
        let file = adapter.join(FILE);
        let weights = match fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| RagError::file(&file, error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => RerankingWeights::default(),
            Err(error) => return Err(RagError::io(&file)(error)),
        };
        if !weights.is_valid() {
            let reason = format!("depth is not 1 to {MOST_DEPTH}, or a weight not within ±{MOST_WEIGHT}");
            return Err(RagError::file(&file, reason));
        }
        Ok(Reranker { cross_encoder, weights })
    }

    /// What reads.
    pub fn cross_encoder(&self) -> &CrossEncoder {
        &self.cross_encoder
    }

    /// What its scores count.
    pub fn weights(&self) -> &RerankingWeights {
        &self.weights
    }

    /// The scores of the likeliest candidates: which of `candidates`, and how well the cross-encoder finds that its
    /// text answers.
    ///
    /// # Errors
    /// If a text cannot be read, or the scores are no numbers.
    pub fn read(
        &self,
        question: &str,
        texts: impl Fn(usize) -> String,
        candidates: &[f32],
    ) -> Result<Vec<(usize, f32)>, RagError> {
        let read = self.weights.likeliest(candidates);
        let texts: Vec<String> = read.iter().map(|index| texts(*index)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = self.cross_encoder.scores(question, &texts)?;
        Ok(read.into_iter().zip(scores).collect())
    }

    /// The probabilities of candidates with these scores, and that of no answer.
    ///
    /// # Errors
    /// If a text cannot be read, or the scores are no numbers.
    pub(super) fn probabilities(
        &self,
        question: &str,
        texts: impl Fn(usize) -> String,
        (candidates, none): &(Vec<f32>, f32),
    ) -> Result<(Vec<f32>, f32), RagError> {
        let read = self.read(question, texts, candidates)?;
        Ok(self.weights.probabilities(&read, candidates, *none))
    }
}

impl Default for RerankingWeights {
    /// Both judges count alike.
    fn default() -> Self {
        RerankingWeights {
            depth: 8,
            by_numbers: 0.5,
            read: 0.5,
            none: 0.0,
            none_by_numbers: 0.5,
            none_best_read: 0.0,
        }
    }
}

impl RerankingWeights {
    fn is_valid(&self) -> bool {
        let weights = [self.by_numbers, self.read, self.none, self.none_by_numbers, self.none_best_read];
        (1..=MOST_DEPTH).contains(&self.depth) && weights.iter().all(|weight| weight.abs() <= MOST_WEIGHT)
    }

    /// Candidates that are read, at most.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The candidates that are read, the likeliest first.
    fn likeliest(&self, candidates: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| candidates[*b].total_cmp(&candidates[*a])); // stable: equals in reading order
        order.truncate(self.depth);
        order
    }

    /// The numbers of this logit: of the candidates that are `read` and of none.
    fn numbers(read: &[(usize, f32)], candidates: &[f32], none: f32) -> Features {
        let best = read.iter().map(|(_, score)| *score).reduce(f32::max).unwrap_or_default();
        Features {
            candidates: read.iter().map(|(index, score)| vec![candidates[*index], *score]).collect(),
            none: vec![1.0, none, best],
        }
    }

    fn probabilities(&self, read: &[(usize, f32)], candidates: &[f32], none: f32) -> (Vec<f32>, f32) {
        let numbers = Self::numbers(read, candidates, none);
        let (of_read, none) = scores(
            &[self.by_numbers, self.read],
            &[self.none, self.none_by_numbers, self.none_best_read],
            &numbers,
        );
        let (of_read, none) = softmax(&of_read, none);
        let mut probabilities = vec![0.0; candidates.len()];
        for ((index, _), probability) in read.iter().zip(of_read) {
            probabilities[*index] = probability;
        }
        (probabilities, none)
    }

    /// Writes the weights beside the cross-encoder that they are of.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, adapter: &Path) -> Result<(), RagError> {
        let file = adapter.join(FILE);
        let json = serde_json::to_string_pretty(self).map_err(|error| RagError::file(&file, error))?;
        fs::write(&file, json + "\n").map_err(RagError::io(&file))
    }
}

/// A question whose evidence is known, with the scores of its candidates.
#[derive(Debug, Clone)]
pub struct ReadExample {
    /// By their numbers.
    pub candidates: Vec<f32>,
    /// That of none.
    pub none: f32,
    /// Those that were read, with their scores by the cross-encoder.
    pub read: Vec<(usize, f32)>,
    /// Which of all candidates hold the answer.
    pub evidence: Vec<usize>,
}

impl ReadExample {
    fn numbers(&self) -> Example {
        let features = RerankingWeights::numbers(&self.read, &self.candidates, self.none);
        let place = |index: &usize| self.read.iter().position(|(read, _)| read == index);
        Example { features, evidence: self.evidence.iter().filter_map(place).collect() }
    }

    /// Each candidate's probability by `weights`, and that of no answer.
    pub fn probabilities(&self, weights: &RerankingWeights) -> (Vec<f32>, f32) {
        weights.probabilities(&self.read, &self.candidates, self.none)
    }
}

/// Weights that make the evidence of `examples` likely, as [`fit`](super::fit) finds them; `depth` candidates are
/// read.
pub fn fit_reranking(examples: &[ReadExample], depth: usize, l2: f32, steps: usize) -> RerankingWeights {
    // Of a question whose evidence was not read, nothing is learned about what was.
    let examples: Vec<Example> = examples
        .iter()
        .map(|example| (example.evidence.is_empty(), example.numbers()))
        .filter(|(has_none, numbers)| *has_none || !numbers.evidence.is_empty())
        .map(|(_, numbers)| numbers)
        .collect();
    let (candidate, none) = descend(&examples, [2, 3], l2, steps);
    let weight = |weights: &[f32], index: usize| weights.get(index).copied().unwrap_or_default();
    RerankingWeights {
        depth,
        by_numbers: weight(&candidate, 0),
        read: weight(&candidate, 1),
        none: weight(&none, 0),
        none_by_numbers: weight(&none, 1),
        none_best_read: weight(&none, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_likeliest_are_read_and_the_rest_answers_nothing() {
        let weights = RerankingWeights { depth: 2, ..RerankingWeights::default() };
        let candidates = [0.1, 2.0, 1.0];
        assert_eq!(weights.likeliest(&candidates), [1, 2]);
        let (p, none) = weights.probabilities(&[(1, 0.0), (2, 3.0)], &candidates, -1.0);
        assert!(p[0] == 0.0 && p[2] > p[1] && none < p[2], "{p:?} {none}");
        assert!((p.iter().sum::<f32>() + none - 1.0).abs() < 1e-6);
        assert_eq!(weights.probabilities(&[], &[], 0.0), (vec![], 1.0));
    }

    #[test]
    fn learns_whom_to_believe() {
        // The numbers say nothing here; the cross-encoder is right.
        let example = |read: [f32; 3], evidence: &[usize]| ReadExample {
            candidates: vec![0.3, 0.2, 0.1],
            none: 0.0,
            read: read.into_iter().enumerate().collect(),
            evidence: evidence.to_vec(),
        };
        let examples = [
            example([2.0, -1.0, -2.0], &[0]),
            example([-1.0, -2.0, 3.0], &[2]),
            example([-2.0, -1.0, -2.0], &[]),
        ];
        let weights = fit_reranking(&examples, 3, 1e-4, 300);
        for example in &examples {
            let (p, none) = example.probabilities(&weights);
            let right = example.evidence.first().map_or(none, |index| p[*index]);
            assert!(right > 0.7, "{p:?} {none}");
        }
    }
}
