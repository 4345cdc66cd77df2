//! A run's logs: `metrics.jsonl` and TensorBoard's event files.

use std::path::Path;

use anyhow::Result;

use crate::metrics::{Metrics, MetricsLine};
use crate::tensorboard::EventFile;

/// Both logs, open for appending.
pub struct RunLog {
    metrics: Metrics,
    events: EventFile,
}

impl RunLog {
    /// Starts both logs, replacing an earlier run's.
    pub fn create(output: &Path) -> Result<Self> {
        Ok(Self { metrics: Metrics::create(output)?, events: EventFile::create(output)? })
    }

    /// Continues both logs after step `step`; for the evaluation after it see [`Metrics::resume`].
    pub fn resume(output: &Path, step: u64, is_evaluated: bool) -> Result<Self> {
        let metrics = Metrics::resume(output, step, is_evaluated)?;
        Ok(Self { metrics, events: EventFile::resume(output, step)? })
    }

    /// Adds a line to `metrics.jsonl`, and its values to the event file under transformers' names.
    pub fn write(&mut self, line: MetricsLine) -> Result<()> {
        self.metrics.write(line)?;
        let (step, values): (_, &[_]) = match line {
            MetricsLine::Step { step, loss, grad_norm, lr, .. } => {
                (step, &[("train/loss", loss), ("train/grad_norm", grad_norm), ("train/learning_rate", lr)])
            }
            MetricsLine::Evaluation { step, eval_loss, .. } => (step, &[("eval/loss", eval_loss)]),
        };
        values.iter().try_for_each(|&(tag, value)| self.events.scalar(step, tag, value))
    }

    /// The lines of the run so far.
    pub fn lines(&self) -> &[MetricsLine] {
        self.metrics.lines()
    }
}
