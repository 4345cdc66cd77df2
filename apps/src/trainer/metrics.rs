//! `metrics.jsonl`: a line per step and per evaluation.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::StepReport;
use serde::{Deserialize, Serialize};

/// The file's name in the run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// The file, open for appending, and what it holds.
pub struct Metrics {
    path: PathBuf,
    file: File,
    lines: Vec<MetricsLine>,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricsLine {
    /// A step, counted from 1.
    Step {
        step: u64,
        loss: f64,
        grad_norm: f64,
        lr: f64,
        /// Tokens that were learned.
        tokens: usize,
    },
    /// An evaluation on the rows held back after a step; after step 0, before training.
    Evaluation { step: u64, eval_loss: f64, eval_perplexity: f64 },
}

impl MetricsLine {
    /// The line of step `step`, counted from 1.
    pub fn step(step: u64, report: &StepReport, lr: f64) -> Self {
        let StepReport { loss, grad_norm, tokens } = *report;
        Self::Step { step, loss, grad_norm, lr, tokens }
    }

    /// The line of an evaluation after step `step`.
    pub fn evaluation(step: u64, eval_loss: f64) -> Self {
        Self::Evaluation { step, eval_loss, eval_perplexity: eval_loss.exp() }
    }
}

impl Metrics {
    /// Makes the file, in place of an earlier run's.
    pub fn create(output: &Path) -> Result<Self> {
        fs::create_dir_all(output).with_context(|| format!("--output {}", output.display()))?;
        let path = output.join(METRICS_FILE);
        let file = File::create(&path).with_context(|| format!("--output: {}", path.display()))?;
        Ok(Self { path, file, lines: Vec::new() })
    }

    /// Opens the file of a run that goes on after step `step`, and drops the lines that came later: the
    /// evaluation after this very step too, unless it `is_evaluated`.
    pub fn resume(output: &Path, step: u64, is_evaluated: bool) -> Result<Self> {
        let path = output.join(METRICS_FILE);
        let context = || path.display().to_string();
        let text = match path.exists() {
            true => fs::read_to_string(&path).with_context(context)?,
            false => String::new(),
        };
        // Keep the lines up to the first that is of a later step or was cut off.
        let is_past = |line: &MetricsLine| match *line {
            MetricsLine::Step { step: number, .. } => number <= step,
            MetricsLine::Evaluation { step: number, .. } => number < step || number == step && is_evaluated,
        };
        let mut lines = Vec::new();
        let mut length = 0;
        for text in text.split_inclusive('\n') {
            match serde_json::from_str::<MetricsLine>(text) {
                Ok(line) if text.ends_with('\n') && is_past(&line) => lines.push(line),
                _ => break,
            }
            length += text.len();
        }
        let file = OpenOptions::new().append(true).create(true).open(&path).with_context(context)?;
        file.set_len(length as u64).with_context(context)?;
        Ok(Self { path, file, lines })
    }

    /// Adds a line.
    pub fn write(&mut self, line: MetricsLine) -> Result<()> {
        let text = serde_json::to_string(&line)? + "\n";
        self.file.write_all(text.as_bytes()).with_context(|| self.path.display().to_string())?;
        self.lines.push(line);
        Ok(())
    }

    /// The lines of the run so far.
    pub fn lines(&self) -> &[MetricsLine] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> MetricsLine {
        MetricsLine::step(step, &StepReport { loss: 2.5, grad_norm: 0.5, tokens: 7 }, 2e-4)
    }

    #[test]
    fn steps_and_evaluations_are_lines() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("new/adapter");
        let mut metrics = Metrics::create(&output).unwrap();
        metrics.write(MetricsLine::evaluation(0, 0.0)).unwrap();
        metrics.write(step(1)).unwrap();
        let text = fs::read_to_string(output.join("metrics.jsonl")).unwrap();
        assert_eq!(
            text,
            "{\"step\":0,\"eval_loss\":0.0,\"eval_perplexity\":1.0}\n\
             {\"step\":1,\"loss\":2.5,\"grad_norm\":0.5,\"lr\":0.0002,\"tokens\":7}\n"
        );
    }

    #[test]
    fn a_resumed_run_has_no_step_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::create(dir.path()).unwrap();
        for line in [step(1), step(2), MetricsLine::evaluation(2, 1.0), step(3)] {
            metrics.write(line).unwrap();
        }
        let path = dir.path().join(METRICS_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for written in [whole.clone(), whole[..whole.len() - 5].into(), whole[..whole.len() - 1].into()] {
            fs::write(&path, &written).unwrap();
            assert_eq!(Metrics::resume(dir.path(), 3, false).unwrap().lines()[..3], metrics.lines()[..3]);
            let mut resumed = Metrics::resume(dir.path(), 2, true).unwrap();
            assert_eq!(resumed.lines(), &metrics.lines()[..3]);
            resumed.write(step(3)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        }
        assert_eq!(Metrics::resume(dir.path(), 2, false).unwrap().lines(), &metrics.lines()[..2]);
    }
}
