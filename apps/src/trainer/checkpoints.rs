//! The checkpoints in a run's folder: the latest ones and the best.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use engine::device::Device;
use llama::LlamaError;
use llama::adapter::training_checkpoint::{
    TrainingCheckpoint, checkpoint_path, checkpoint_steps, read_state, remove_checkpoint,
};

use crate::trainer_state::TrainerState;

/// The step and the state of the latest checkpoint, if there is one.
///
/// # Errors
/// If it is damaged: the message names the last one that is whole.
pub fn latest(output: &Path, device: &Device) -> Result<Option<TrainerState>> {
    let whole = |step: u64| {
        let path = checkpoint_path(output, step);
        TrainingCheckpoint::<TrainerState>::load(&path, device)?;
        read_state(&path)
    };
    let mut steps = checkpoint_steps(output)?;
    let Some(latest) = steps.pop() else { return Ok(None) };
    whole(latest).map(Some).map_err(|error| {
        let damaged = checkpoint_path(output, latest);
        let (damaged, earlier) = (damaged.display(), steps.into_iter().rev().find(|step| whole(*step).is_ok()));
        match earlier {
            Some(step) => anyhow!(
                "--resume: {damaged} is damaged ({error}); checkpoint-{step} is whole: remove {damaged} to go on from there"
            ),
            None => anyhow!(
                "--resume: {damaged} is damaged ({error}), and there is no whole one before it; remove {damaged} to begin anew"
            ),
        }
    })
}

/// Writes a checkpoint, and then removes those that are neither the best nor among the `limit` latest.
pub fn save(output: &Path, checkpoint: &TrainingCheckpoint<TrainerState>, limit: usize) -> Result<()> {
    checkpoint.save(output).with_context(|| {
        let rest = match checkpoint_steps(output).unwrap_or_default().last() {
            Some(step) => format!("checkpoint-{step} is kept, --resume goes on from there"),
            None => "there is no checkpoint before it to go on from".into(),
        };
        format!("the run stops at step {}; {rest}", checkpoint.state.global_step)
    })?;
    let best = checkpoint.state.best.map(|best| best.step);
    for step in surplus(&checkpoint_steps(output)?, best, limit) {
        remove_checkpoint(output, step)?;
    }
    Ok(())
}

/// Removes the checkpoints of an earlier run.
pub fn clear(output: &Path) -> Result<(), LlamaError> {
    checkpoint_steps(output)?.into_iter().try_for_each(|step| remove_checkpoint(output, step))
}

fn surplus(steps: &[u64], best: Option<u64>, limit: usize) -> Vec<u64> {
    let (old, _) = steps.split_at(steps.len().saturating_sub(limit));
    old.iter().copied().filter(|&step| Some(step) != best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_and_the_best_are_kept() {
        assert_eq!(surplus(&[1, 2, 3, 4], None, 2), [1, 2]);
        assert_eq!(surplus(&[1, 2, 3, 4], Some(2), 2), [1]);
        assert_eq!(surplus(&[1, 2, 3, 4], Some(4), 1), [1, 2, 3]);
        assert_eq!(surplus(&[7], None, 2), [0; 0]);
    }
}
