//! The state of a run in `trainer_state.json` of a checkpoint, under transformers' names.

use serde::{Deserialize, Serialize};

use crate::run_config::RunConfig;

/// The progress and results of a run so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps that were made.
    pub global_step: u64,
    /// The same in passes over the data.
    pub epoch: f64,
    /// Tokens that were read.
    pub tokens: usize,
    /// Seconds on the clock, over all of its parts.
    pub seconds: f64,
    /// Loss on the rows held back before training, if there are any.
    pub eval_loss_before: Option<f64>,
    /// The latest evaluation.
    pub evaluation: Option<HeldOutLoss>,
    /// The best evaluation, where the best is looked for.
    pub best: Option<HeldOutLoss>,
    /// Evaluations since the best.
    pub early_stopping_patience_counter: u64,
    /// The settings.
    pub run: RunConfig,
}

/// Loss on the rows held back after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOutLoss {
    pub step: u64,
    /// Stored as text: reading a JSON number may change its last digit, and equal losses must stay equal.
    #[serde(with = "exact")]
    pub eval_loss: f64,
}

impl TrainerState {
    /// Before the first step.
    pub fn new(run: RunConfig) -> Self {
        Self {
            global_step: 0,
            epoch: 0.0,
            tokens: 0,
            seconds: 0.0,
            eval_loss_before: None,
            evaluation: None,
            best: None,
            early_stopping_patience_counter: 0,
            run,
        }
    }

    /// Whether the evaluation after the current step has been made.
    pub fn is_evaluated(&self) -> bool {
        self.evaluation.is_some_and(|evaluation| evaluation.step == self.global_step)
    }

    /// Records the evaluation after the current step; `true` if it is the best.
    pub fn evaluated(&mut self, eval_loss: f64) -> bool {
        let evaluation = HeldOutLoss { step: self.global_step, eval_loss };
        self.evaluation = Some(evaluation);
        if self.global_step == 0 {
            self.eval_loss_before = Some(eval_loss);
            return false;
        }
        let is_best = self.best.is_none_or(|best| eval_loss < best.eval_loss);
        if is_best {
            self.best = Some(evaluation);
            self.early_stopping_patience_counter = 0;
        } else {
            self.early_stopping_patience_counter += 1;
        }
        is_best
    }
}

mod exact {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TrainerState {
        TrainerState::new(serde_json::from_str("{}").unwrap())
    }

    #[test]
    fn the_best_is_the_first_of_the_lowest() {
        let mut state = state();
        let best: Vec<_> = [3.0, 2.0, 2.0, 1.5, 1.7, 1.6]
            .into_iter()
            .enumerate()
            .map(|(step, loss)| {
                state.global_step = step as u64;
                state.evaluated(loss)
            })
            .collect();
        assert_eq!(best, [false, true, false, true, false, false]);
        assert_eq!(state.best, Some(HeldOutLoss { step: 3, eval_loss: 1.5 }));
        assert_eq!((state.eval_loss_before, state.early_stopping_patience_counter), (Some(3.0), 2));
        assert!(state.is_evaluated());
        state.global_step += 1;
        assert!(!state.is_evaluated());
    }

    #[test]
    fn losses_survive_the_file_to_the_last_bit() {
        for bits in 0..500u64 {
            let eval_loss = f64::from_bits(0x4002_3456_789a_bcde + 0x1234_5678_9abc * bits);
            let evaluation = HeldOutLoss { step: 1, eval_loss };
            let text = serde_json::to_string(&evaluation).unwrap();
            assert_eq!(serde_json::from_str::<HeldOutLoss>(&text).unwrap(), evaluation, "{text}");
        }
    }
}
