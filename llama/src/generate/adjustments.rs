//! What changes a row of logits before a token is chosen from it: biases and penalties.
//!
//! The steps and their order are vLLM's: bias, repetition penalty, frequency penalty, presence penalty. The
//! repetition penalty counts the prompt's tokens too, the other two the answer's only, as OpenAI defines them.

use std::collections::{HashMap, HashSet};

use super::sampling::Sampling;

/// The biases and penalties of one request, and the tokens that they count.
#[derive(Debug, Clone)]
pub(super) struct Adjustments {
    bias: Vec<(u32, f32)>,
    repetition: f32,
    frequency: f32,
    presence: f32,
    /// Tokens of prompt and answer, where the repetition penalty needs them.
    seen: HashSet<u32>,
    /// How often each token stands in the answer, where a penalty needs it.
    counts: HashMap<u32, u32>,
    adjusted: Vec<f32>,
}

impl Adjustments {
    /// The adjustments that `sampling` asks for; `None` if it leaves logits as they are.
    pub fn of(sampling: &Sampling) -> Option<Self> {
        let adjustments = Self {
            bias: sampling.logit_bias.clone(),
            repetition: sampling.repetition_penalty,
            frequency: sampling.frequency_penalty,
            presence: sampling.presence_penalty,
            seen: HashSet::new(),
            counts: HashMap::new(),
            adjusted: Vec::new(),
        };
        let changes = !adjustments.bias.is_empty() || adjustments.repeats() || adjustments.counts_answer();
        changes.then_some(adjustments)
    }

    fn repeats(&self) -> bool {
        self.repetition != 1.0
    }

    fn counts_answer(&self) -> bool {
        self.frequency != 0.0 || self.presence != 0.0
    }

    /// Takes note of tokens of the prompt.
    pub fn observe(&mut self, prompt: &[u32]) {
        if self.repeats() {
            self.seen.extend(prompt);
        }
    }

    /// Takes note of a token of the answer.
    pub fn record(&mut self, token: u32) {
        self.observe(&[token]);
        if self.counts_answer() {
            *self.counts.entry(token).or_default() += 1;
        }
    }

    /// The logits with biases and penalties.
    pub fn apply(&mut self, logits: &[f32]) -> &[f32] {
        self.adjusted.clear();
        self.adjusted.extend(logits);
        for &(token, bias) in &self.bias {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for &token in &self.seen {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / self.repetition } else { *logit * self.repetition };
            }
        }
        for (&token, &count) in &self.counts {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit -= self.frequency * count as f32;
                *logit -= self.presence;
            }
        }
        &self.adjusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjusted(sampling: Sampling, prompt: &[u32], answer: &[u32]) -> Vec<f32> {
        let mut adjustments = Adjustments::of(&sampling).unwrap();
        adjustments.observe(prompt);
        answer.iter().for_each(|&token| adjustments.record(token));
        adjustments.apply(&[4.0, -4.0, 4.0, 4.0]).to_vec()
    }

    #[test]
    fn the_default_changes_nothing() {
        assert!(Adjustments::of(&Sampling::default()).is_none());
    }

    #[test]
    fn a_repetition_penalty_counts_the_prompt() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(adjusted(sampling, &[0, 1], &[2, 2]), [2.0, -8.0, 2.0, 4.0]);
    }

    #[test]
    fn frequency_and_presence_count_the_answer_only() {
        let frequency = Sampling { frequency_penalty: 0.5, ..Sampling::default() };
        assert_eq!(adjusted(frequency, &[0, 1], &[2, 2, 3]), [4.0, -4.0, 3.0, 3.5]);
        let presence = Sampling { presence_penalty: -1.5, ..Sampling::default() };
        assert_eq!(adjusted(presence, &[0], &[2, 2]), [4.0, -4.0, 5.5, 4.0]);
    }

    #[test]
    fn a_bias_comes_before_the_penalties() {
        let bias = vec![(0, 2.0), (1, 100.0), (9, 1.0)];
        let sampling = Sampling { repetition_penalty: 2.0, logit_bias: bias, ..Sampling::default() };
        assert_eq!(adjusted(sampling, &[0, 1], &[]), [3.0, 48.0, 4.0, 4.0]);
    }
}
