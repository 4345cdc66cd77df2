//! How a run begins, is kept and ends.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{at_least, share};

/// Flags of `trainer train` under transformers' names.
#[derive(Debug, Clone, Args, Serialize)]
pub struct RunArgs {
    /// How the learning rate goes on after the warm-up.
    #[arg(long, visible_alias = "lr_scheduler_type", value_enum, default_value_t = LrScheduler::Constant)]
    pub lr_scheduler: LrScheduler,
    /// Steps over which the learning rate rises from 0.
    #[arg(long, visible_alias = "warmup_steps", value_name = "N", default_value_t = 0)]
    pub warmup_steps: u64,
    /// The same, as a share of all steps.
    #[arg(long, visible_alias = "warmup_ratio", value_parser = share, conflicts_with = "warmup_steps")]
    pub warmup_ratio: Option<f64>,

    /// Steps from one checkpoint to the next. There is also one at each new best evaluation, at the end,
    /// and where the run is stopped (Ctrl-C, SIGTERM).
    #[arg(long, visible_alias = "save_steps", value_name = "N", default_value = "500", value_parser = at_least::<u64>(1))]
    pub save_steps: u64,
    /// Latest checkpoints that are kept; the best one is kept too.
    #[arg(long, visible_alias = "save_total_limit", value_name = "N", default_value = "2", value_parser = at_least::<usize>(1))]
    pub save_total_limit: usize,
    /// Go on from the latest checkpoint in the output folder, bit for bit as if the run had never
    /// stopped; from the start if there is none yet. The other flags must be those of the run.
    #[arg(long)]
    pub resume: bool,
    /// Steps from one evaluation on the rows held back to the next. The adapter that the run leaves is
    /// then the one with the lowest loss, else the last.
    #[arg(long, visible_alias = "eval_steps", value_name = "N", value_parser = at_least::<u64>(1))]
    pub eval_steps: Option<u64>,
    /// Stop after so many evaluations in a row that were no better than the best.
    #[arg(
        long,
        visible_alias = "early_stopping_patience",
        value_name = "N",
        value_parser = at_least::<u64>(1),
        requires = "eval_steps"
    )]
    pub early_stopping_patience: Option<u64>,
    /// Print what would be trained, and what it would take, and end.
    #[arg(long)]
    pub dry_run: bool,
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScheduler {
    /// As it is.
    Constant,
    /// In a line to 0 at the end.
    Linear,
    /// Half a cosine to 0 at the end.
    Cosine,
}

impl RunArgs {
    /// Steps of the warm-up of a run of `total` steps.
    pub fn warmup(&self, total: u64) -> u64 {
        self.warmup_ratio.map_or(self.warmup_steps, |ratio| (total as f64 * ratio).ceil() as u64)
    }
}
