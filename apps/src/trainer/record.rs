//! `training.json`: what was trained on what, and what came out.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::LoraConfig;
use llama::adapter::CONFIG_FILE;
use llama::adapter::training_checkpoint::checkpoint_steps;
use serde::Serialize;
use serde_json::json;

use crate::cli::TrainArgs;
use crate::metrics::METRICS_FILE;
use crate::peak_memory;
use crate::trainer_state::TrainerState;

/// The file's name; a run that has it is finished.
const SUMMARY_FILE: &str = "training.json";

/// `training.json`: what was trained on what, and what came out.
pub struct Summary<'a> {
    pub args: &'a TrainArgs,
    pub lora: &'a LoraConfig,
    pub rows: &'a RowCounts,
    pub state: &'a TrainerState,
    /// Perplexity of the rows held back, if there are any.
    pub validation_perplexity: Option<BeforeAfter>,
}

/// Numbers of rows by their use.
#[derive(Debug, Clone, Serialize)]
pub struct RowCounts {
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

/// Refuses an output folder that is not a run's, before any work: saving an adapter into a model's folder would replace
/// its chat template. An unfinished run can only be resumed, not replaced.
pub fn check(output: &Path, resume: bool) -> Result<()> {
    if output.exists() && !output.is_dir() {
        bail!("--output {}: it is a file; name a folder", output.display());
    }
    let ours = [CONFIG_FILE, METRICS_FILE].iter().any(|name| output.join(name).exists());
    let is_empty = || fs::read_dir(output).map_or(true, |mut entries| entries.next().is_none());
    if !ours && !is_empty() {
        bail!("--output {}: it holds other files; name a new folder or an adapter's", output.display());
    }
    let unfinished = !output.join(SUMMARY_FILE).exists();
    if let Some(step) = checkpoint_steps(output)?.last().filter(|_| unfinished && !resume) {
        bail!(
            "--output {}: it holds a run that stopped after step {step}; go on with --resume, or name a new folder",
            output.display()
        );
    }
    Ok(())
}

/// Removes the mark of a finished run, if it is there.
pub fn unfinish(output: &Path) -> Result<()> {
    let path = output.join(SUMMARY_FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(path.display().to_string())
        }
        _ => Ok(()),
    }
}

impl Summary<'_> {
    /// Writes `training.json` to the folder.
    pub fn write(&self, output: &Path) -> Result<()> {
        let Self { args, lora, rows, state, validation_perplexity } = self;
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
            "lr_scheduler": args.run.lr_scheduler,
            "steps": state.global_step,
            "best_step": state.best.map(|best| best.step),
            "tokens": state.tokens,
            "seconds": state.seconds,
            "peak_rss_mib": peak_memory::mib(),
            "validation_perplexity": validation_perplexity,
        });
        let path = output.join(SUMMARY_FILE);
        fs::write(&path, format!("{fields:#}\n")).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_ours_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &Path| check(path, false);
        check(dir.path()).unwrap();
        check(&dir.path().join("new")).unwrap();
        let file = dir.path().join("model.gguf");
        fs::write(&file, "").unwrap();
        assert!(check(&file).unwrap_err().to_string().contains("it is a file"));
        assert!(check(dir.path()).unwrap_err().to_string().contains("it holds other files"));
        fs::write(dir.path().join(METRICS_FILE), "").unwrap();
        check(dir.path()).unwrap();
    }

    #[test]
    fn a_run_that_stopped_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(METRICS_FILE), "").unwrap();
        fs::create_dir(dir.path().join("checkpoint-12")).unwrap();
        let error = check(dir.path(), false).unwrap_err().to_string();
        assert!(
            error.ends_with("stopped after step 12; go on with --resume, or name a new folder"),
            "{error}"
        );
        check(dir.path(), true).unwrap();
        fs::write(dir.path().join(SUMMARY_FILE), "{}").unwrap();
        check(dir.path(), false).unwrap();
        unfinish(dir.path()).unwrap();
        unfinish(dir.path()).unwrap();
        check(dir.path(), false).unwrap_err();
    }
}
