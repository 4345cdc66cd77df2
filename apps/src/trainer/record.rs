//! What a run leaves beside its adapter: `metrics.jsonl`, a line per step, and `training.json`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::{LoraConfig, StepReport};
use llama::adapter::CONFIG_FILE;
use serde::Serialize;
use serde_json::json;

use crate::cli::TrainArgs;
use crate::progress::Trained;

const METRICS_FILE: &str = "metrics.jsonl";

/// `metrics.jsonl`, open for appending.
pub struct Metrics {
    path: PathBuf,
    file: File,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Serialize)]
struct Line {
    step: u64,
    loss: f64,
    grad_norm: f64,
    lr: f64,
    /// Tokens that were learned.
    tokens: usize,
}

/// `training.json`: what was trained on what, and what came out.
pub struct Summary<'a> {
    pub args: &'a TrainArgs,
    pub lora: &'a LoraConfig,
    pub rows: &'a Rows,
    pub steps: u64,
    pub trained: Trained,
    /// Perplexity of the rows held back, if there are any.
    pub validation_perplexity: Option<BeforeAfter>,
}

/// How many rows went where.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    pub train: usize,
    pub validation: usize,
    /// Set aside.
    pub test: usize,
    /// Left out: no instruction or no response.
    pub blank: usize,
    /// Left out: cannot be read or written.
    pub skipped: usize,
    /// Their end was cut off.
    pub truncated: usize,
    /// Left out: the prompt alone fills the length.
    pub dropped: usize,
    /// Different questions, and pairs of question and answer, but for case, digits and punctuation.
    pub distinct_questions: usize,
    pub distinct_pairs: usize,
    /// Rows held back whose question is trained on.
    pub leaked: usize,
}

/// A value before and after training.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BeforeAfter {
    pub before: f64,
    pub after: f64,
}

/// Refuses an output that is no folder of ours, before any work is done: saving an adapter into a
/// model's folder would replace its chat template.
pub fn check(output: &Path) -> Result<()> {
    if output.exists() && !output.is_dir() {
        bail!("--output {}: it is a file; name a folder", output.display());
    }
    let ours = [CONFIG_FILE, METRICS_FILE].iter().any(|name| output.join(name).exists());
    let is_empty = || fs::read_dir(output).map_or(true, |mut entries| entries.next().is_none());
    if !ours && !is_empty() {
        bail!("--output {}: it holds other files; name a new folder or an adapter's", output.display());
    }
    Ok(())
}

impl Metrics {
    /// Makes the output folder and the file, in place of an earlier run's.
    pub fn create(output: &Path) -> Result<Self> {
        fs::create_dir_all(output).with_context(|| format!("--output {}", output.display()))?;
        let path = output.join(METRICS_FILE);
        let file = File::create(&path).with_context(|| format!("--output: {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Adds step `step`, counted from 1.
    pub fn write(&mut self, step: u64, report: &StepReport, lr: f64) -> Result<()> {
        let StepReport { loss, grad_norm, tokens } = *report;
        let line = serde_json::to_string(&Line { step, loss, grad_norm, lr, tokens })?;
        writeln!(self.file, "{line}").with_context(|| self.path.display().to_string())
    }
}

impl Summary<'_> {
    /// Writes `training.json` to the folder.
    pub fn write(&self, output: &Path) -> Result<()> {
        let Self { args, lora, rows, steps, trained, validation_perplexity } = self;
        let fields = json!({
            "model": args.model,
            "data": args.data,
            "rows": rows,
            "split": format!("{:?}", args.split).to_lowercase(),
            "lora_r": lora.r,
            "lora_alpha": lora.lora_alpha,
            "lora_dropout": lora.lora_dropout,
            "target_modules": lora.target_modules,
            "use_rslora": lora.use_rslora,
            "use_dora": lora.use_dora,
            "batch_size": args.batch_size,
            "grad_accum": args.grad_accum,
            "lr": args.lr,
            "optim": args.optim.name(),
            "max_grad_norm": args.max_grad_norm,
            "max_length": args.max_length,
            "train_on_inputs": args.train_on_inputs,
            "shuffle": !args.no_shuffle,
            "seed": args.seed,
            "steps": steps,
            "tokens": trained.tokens,
            "seconds": trained.seconds,
            "validation_perplexity": validation_perplexity,
        });
        let path = output.join("training.json");
        fs::write(&path, format!("{fields:#}\n")).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("new/adapter");
        let mut metrics = Metrics::create(&output).unwrap();
        metrics.write(1, &StepReport { loss: 2.5, grad_norm: 0.5, tokens: 7 }, 2e-4).unwrap();
        let text = fs::read_to_string(output.join("metrics.jsonl")).unwrap();
        assert_eq!(text, "{\"step\":1,\"loss\":2.5,\"grad_norm\":0.5,\"lr\":0.0002,\"tokens\":7}\n");
    }

    #[test]
    fn only_a_folder_of_ours_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        check(&dir.path().join("new")).unwrap();
        let file = dir.path().join("model.gguf");
        fs::write(&file, "").unwrap();
        assert!(check(&file).unwrap_err().to_string().contains("it is a file"));
        assert!(check(dir.path()).unwrap_err().to_string().contains("it holds other files"));
        Metrics::create(dir.path()).unwrap();
        check(dir.path()).unwrap();
    }
}
