//! The learning rate of each step.

use std::f64::consts::PI;

use crate::cli::LrScheduler;

/// The schedules of `transformers.optimization`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrSchedule {
    /// The schedule after the warm-up.
    pub scheduler: LrScheduler,
    /// The highest learning rate.
    pub lr: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub total: u64,
}

impl LrSchedule {
    /// The learning rate of step `step`, counted from 0.
    ///
    /// In the warm-up `lr · step / warmup`, so that the first step has none; then, with
    /// `p = (step − warmup) / (total − warmup)`: `lr`, or linear `lr · (1 − p)`, or cosine
    /// `lr · (1 + cos(π p)) / 2`.
    pub fn at(&self, step: u64) -> f64 {
        let Self { scheduler, lr, warmup_steps, total } = *self;
        if step < warmup_steps {
            return lr * (step as f64 / warmup_steps as f64);
        }
        let progress = (step - warmup_steps) as f64 / total.saturating_sub(warmup_steps).max(1) as f64;
        lr * match scheduler {
            LrScheduler::Constant => 1.0,
            LrScheduler::Linear => (1.0 - progress).max(0.0),
            LrScheduler::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of a run of 20 steps that the numbers below are from.
    const STEPS: [u64; 7] = [0, 1, 3, 4, 5, 12, 19];

    /// What `transformers.get_scheduler` (5.x) gave for lr = 2e-4 and 20 steps.
    #[test]
    fn learning_rates_are_those_of_transformers() {
        for (scheduler, warmup_steps, expected) in [
            (LrScheduler::Constant, 0, [2e-4; 7]),
            (LrScheduler::Constant, 4, [0.0, 5e-5, 1.5e-4, 2e-4, 2e-4, 2e-4, 2e-4]),
            (LrScheduler::Linear, 0, [2e-4, 1.9e-4, 1.7e-4, 1.6e-4, 1.5e-4, 8e-5, 1e-5]),
            (LrScheduler::Linear, 4, [0.0, 5e-5, 1.5e-4, 2e-4, 1.875e-4, 1e-4, 1.25e-5]),
            (
                LrScheduler::Cosine,
                0,
                [
                    2e-4,
                    0.00019876883405951377,
                    0.0001891006524188368,
                    0.00018090169943749476,
                    0.00017071067811865476,
                    6.909830056250527e-05,
                    1.231165940486234e-06,
                ],
            ),
            (
                LrScheduler::Cosine,
                4,
                [0.0, 5e-5, 1.5e-4, 2e-4, 0.00019807852804032305, 1e-4, 1.921471959676957e-06],
            ),
        ] {
            let schedule = LrSchedule { scheduler, lr: 2e-4, warmup_steps, total: 20 };
            for (step, expected) in STEPS.into_iter().zip(expected) {
                let found = schedule.at(step);
                assert!((found - expected).abs() < 1e-17, "{scheduler:?} {warmup_steps} {step}: {found}");
            }
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_ends() {
        let schedule = LrSchedule { scheduler: LrScheduler::Linear, lr: 1.0, warmup_steps: 8, total: 4 };
        assert_eq!([0, 3, 8, 9].map(|step| schedule.at(step)), [0.0, 0.375, 1.0, 0.0]);
    }
}
