//! The folders of a run's checkpoints: `checkpoint-<step>/`, as `transformers` names them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::LlamaError;

/// transformers' name for the file of the trainer's own state.
pub const STATE_FILE: &str = "trainer_state.json";
/// The optimizer's file; transformers pickles it under another ending.
pub(super) const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// What stands before the step in a checkpoint's name.
const PREFIX: &str = "checkpoint-";

/// The folder of the checkpoint after `step` in the folder of a run.
pub fn checkpoint_path(run: &Path, step: u64) -> PathBuf {
    run.join(format!("{PREFIX}{step}"))
}

/// The steps of the checkpoints in the folder of a run, in order.
///
/// # Errors
/// If the folder cannot be read; a missing one has no checkpoints.
pub fn checkpoint_steps(run: &Path) -> Result<Vec<u64>, LlamaError> {
    let entries = match fs::read_dir(run) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(LlamaError::io(run))?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let name = entry.map_err(LlamaError::io(run))?.file_name();
        let step = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok());
        steps.extend(step);
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Removes the checkpoint after `step`.
///
/// # Errors
/// If the system refuses.
pub fn remove_checkpoint(run: &Path, step: u64) -> Result<(), LlamaError> {
    let path = checkpoint_path(run, step);
    let nameless = run.join(format!(".{PREFIX}{step}.removed"));
    match fs::remove_dir_all(&nameless) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(LlamaError::Io { path: nameless, cause });
        }
        _ => {} // left by a run that was killed
    }
    fs::rename(&path, &nameless).map_err(LlamaError::io(&path))?;
    fs::remove_dir_all(&nameless).map_err(LlamaError::io(&nameless))
}
