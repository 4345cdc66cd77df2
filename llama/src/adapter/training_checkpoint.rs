//! Checkpoints of a training run: `checkpoint-<step>/` as `transformers` names them, with the adapter
//! in PEFT's files, the optimizer's moments in `optimizer.safetensors`, and the trainer's own state in
//! `trainer_state.json`.
//!
//! A folder of that name is always complete: it is written under another name and then renamed, and renamed before it
//! is removed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::Dtype;
use burn::tensor::{Device, Tensor, TensorData};
use engine::FinetuneState;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Adapter;
use super::checkpoint_folder::OPTIMIZER_FILE;
pub use super::checkpoint_folder::{STATE_FILE, checkpoint_path, checkpoint_steps, remove_checkpoint};
use crate::error::LlamaError;
use crate::files::atomic_write::{Staged, StagedFolder};
use crate::files::safetensors::{Safetensors, SafetensorsWriter};

/// PEFT's prefix of parameters.
const PARAMETER: &str = "base_model.model.";
/// The key of the number of steps that the optimizer has made.
const STEP: &str = "step";

/// Everything that a run needs to be continued. `S` is the trainer's own state.
#[derive(Debug, Clone)]
pub struct TrainingCheckpoint<S> {
    /// The adapter as it is after the step.
    pub adapter: Adapter,
    /// The optimizer's memory, with the step.
    pub optimizer: FinetuneState,
    /// The trainer's own state.
    pub state: S,
}

impl<S: Serialize> TrainingCheckpoint<S> {
    /// Writes the checkpoint to the folder of a run and says where it is.
    ///
    /// # Errors
    /// If there is one of the same step, or a file cannot be written; the checkpoints that are there then
    /// stay as they are.
    pub fn save(&self, run: &Path) -> Result<PathBuf, LlamaError> {
        let path = checkpoint_path(run, self.optimizer.steps);
        let folder = StagedFolder::create(&path)?;
        self.adapter.save(&folder.join(""))?;
        write_optimizer(&folder.join(OPTIMIZER_FILE), &self.optimizer)?;
        let state = serde_json::to_string_pretty(&self.state)
            .map_err(|error| LlamaError::file(&path, format!("{STATE_FILE}: {error}")))?;
        Staged::write(&folder.join(STATE_FILE), format!("{state}\n").as_bytes())?.commit()?;
        folder.commit()?;
        Ok(path)
    }
}

impl<S: DeserializeOwned> TrainingCheckpoint<S> {
    /// Reads the checkpoint in the folder `path`.
    ///
    /// # Errors
    /// If a file is missing or broken.
    pub fn load(path: &Path, device: &Device) -> Result<Self, LlamaError> {
        Ok(Self {
            state: read_state(path)?,
            adapter: Adapter::load(path, device)?,
            optimizer: read_optimizer(&path.join(OPTIMIZER_FILE), device)?,
        })
    }
}

/// The trainer's own state in the checkpoint `path`, without the tensors.
///
/// # Errors
/// If the file is missing or broken.
pub fn read_state<S: DeserializeOwned>(path: &Path) -> Result<S, LlamaError> {
    let path = path.join(STATE_FILE);
    let text = fs::read(&path).map_err(LlamaError::io(&path))?;
    serde_json::from_slice(&text).map_err(|error| LlamaError::file(&path, error.to_string()))
}

fn write_optimizer(path: &Path, optimizer: &FinetuneState) -> Result<(), LlamaError> {
    let named = |(name, tensor): (&String, &Tensor<2>)| (format!("{PARAMETER}{name}"), tensor.clone());
    let tensors: Vec<(String, Tensor<2>)> = optimizer.moments.iter().map(named).collect();
    let mut announced = vec![(STEP.to_owned(), Dtype::U64, vec![1])];
    announced.extend(tensors.iter().map(|(name, tensor)| (name.clone(), Dtype::F32, tensor.dims().to_vec())));
    let mut writer = SafetensorsWriter::create(path, announced)?;
    writer.write(STEP, &optimizer.steps.to_le_bytes())?;
    for (name, tensor) in tensors {
        let data = tensor.into_data().convert::<f32>();
        let values = data.as_slice::<f32>();
        let values = values.map_err(|error| LlamaError::tensor(path, &name, format!("{error:?}")))?;
        writer.write(&name, bytemuck::cast_slice(values))?;
    }
    writer.finish()
}

fn read_optimizer(path: &Path, device: &Device) -> Result<FinetuneState, LlamaError> {
    let file = Safetensors::open(path)?;
    let mut moments = BTreeMap::new();
    for name in file.names().filter(|name| *name != STEP) {
        let Some((moment, &[rows, columns])) = name.strip_prefix(PARAMETER).zip(file.shape(name)) else {
            return Err(LlamaError::tensor(path, name, "is no matrix of an adapter"));
        };
        let values = file.read(name, &[rows, columns])?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(LlamaError::tensor(
                path,
                name,
                "holds values that are not finite; resume an older checkpoint",
            ));
        }
        let tensor = Tensor::from_data(TensorData::new(values, [rows, columns]), device);
        moments.insert(moment.to_owned(), tensor);
    }
    let step = file.bytes(STEP, Dtype::U64, &[1])?;
    let step = <[u8; 8]>::try_from(&*step).map_err(|_| LlamaError::tensor(path, STEP, "is cut off"))?;
    Ok(FinetuneState { steps: u64::from_le_bytes(step), moments })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::{LoraConfig, LoraWeights};

    use super::*;

    fn device() -> Device {
        engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
    }

    fn matrix(shape: [usize; 2], scale: f32) -> Tensor<2> {
        let values = (0..shape[0] * shape[1]).map(|i| scale * (i as f32 + 0.1)).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, shape), &device())
    }

    fn values(tensor: &Tensor<2>) -> Vec<f32> {
        tensor.to_data().try_to_vec().unwrap()
    }

    fn checkpoint(steps: u64) -> TrainingCheckpoint<String> {
        let module = "model.layers.0.self_attn.q_proj";
        let (a, b) = (matrix([2, 3], steps as f32), matrix([4, 2], -0.5));
        let target_modules = vec!["q_proj".into()];
        let moment = |name: &str, shape, scale| (format!("{module}.{name}"), matrix(shape, scale));
        let moments = [
            moment("lora_A.weight.exp_avg", [2, 3], 1e-3),
            moment("lora_A.weight.exp_avg_sq", [2, 3], 1e-30),
        ];
        TrainingCheckpoint {
            adapter: Adapter {
                config: LoraConfig { r: 2, target_modules, ..LoraConfig::default() },
                weights: vec![LoraWeights { module: module.into(), a, b, magnitude: None }],
                base_model: None,
                chat_template: None,
            },
            optimizer: FinetuneState { steps, moments: moments.into() },
            state: format!("after {steps}"),
        }
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let run = tempfile::tempdir().unwrap();
        for steps in [3, 20] {
            let saved = checkpoint(steps);
            let path = saved.save(run.path()).unwrap();
            assert_eq!(path, run.path().join(format!("checkpoint-{steps}")));
            let loaded = TrainingCheckpoint::<String>::load(&path, &device()).unwrap();
            assert_eq!((&loaded.state, loaded.optimizer.steps), (&saved.state, steps));
            assert_eq!(values(&loaded.adapter.weights[0].a), values(&saved.adapter.weights[0].a));
            let all = |state: &FinetuneState| -> Vec<(String, Vec<f32>)> {
                state.moments.iter().map(|(name, moment)| (name.clone(), values(moment))).collect()
            };
            assert_eq!(all(&loaded.optimizer), all(&saved.optimizer));
        }
        assert_eq!(checkpoint_steps(run.path()).unwrap(), [3, 20]);
        remove_checkpoint(run.path(), 3).unwrap();
        assert_eq!(checkpoint_steps(run.path()).unwrap(), [20]);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_leaves_the_others() {
        let run = tempfile::tempdir().unwrap();
        checkpoint(1).save(run.path()).unwrap();
        assert!(
            checkpoint(1).save(run.path()).unwrap_err().to_string().contains("checkpoint-1: is not empty")
        );
        // JSON has no such keys, so writing the last file fails, after the others were written.
        let TrainingCheckpoint { adapter, optimizer, .. } = checkpoint(2);
        let state = BTreeMap::from([([1u8], 1u8)]);
        let error =
            TrainingCheckpoint { adapter, optimizer, state }.save(run.path()).unwrap_err().to_string();
        assert!(error.contains("trainer_state.json: key must be a string"), "{error}");
        let path = checkpoint_path(run.path(), 1);
        assert_eq!(TrainingCheckpoint::<String>::load(&path, &device()).unwrap().state, "after 1");
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1, "nothing half-written is left");
    }

    #[test]
    fn an_unfinished_run_names_its_latest_whole_checkpoint() {
        let run = tempfile::tempdir().unwrap();
        for steps in [1, 2, 3] {
            checkpoint(steps).save(run.path()).unwrap();
        }
        let told = || Adapter::load(run.path(), &device()).unwrap_err().to_string();
        let latest = |step: u64| checkpoint_path(run.path(), step).display().to_string();
        assert!(told().ends_with(&format!("its latest adapter is in {}", latest(3))), "{}", told());
        fs::write(checkpoint_path(run.path(), 3).join(OPTIMIZER_FILE), [0; 100]).unwrap();
        fs::remove_file(checkpoint_path(run.path(), 2).join(STATE_FILE)).unwrap();
        assert!(told().ends_with(&format!("its latest adapter is in {}", latest(1))), "{}", told());
    }

    #[test]
    fn moments_that_are_not_finite_are_refused() {
        let run = tempfile::tempdir().unwrap();
        let mut broken = checkpoint(1);
        broken.optimizer.moments.insert("q_proj.lora_A.weight.exp_avg".into(), matrix([2, 3], f32::NAN));
        let path = broken.save(run.path()).unwrap();
        let error = TrainingCheckpoint::<String>::load(&path, &device()).unwrap_err().to_string();
        assert!(error.contains("q_proj.lora_A.weight.exp_avg") && error.contains("not finite"), "{error}");
    }

    #[test]
    fn a_broken_file_is_named() {
        let run = tempfile::tempdir().unwrap();
        let path = checkpoint(1).save(run.path()).unwrap();
        let load = || TrainingCheckpoint::<String>::load(&path, &device()).unwrap_err().to_string();
        for name in [OPTIMIZER_FILE, STATE_FILE, crate::adapter::WEIGHTS_FILE] {
            let bytes = fs::read(path.join(name)).unwrap();
            fs::write(path.join(name), &bytes[..bytes.len() / 2]).unwrap();
            assert!(load().contains(name), "{}", load());
            fs::write(path.join(name), bytes).unwrap();
        }
    }
}
