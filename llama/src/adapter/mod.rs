//! LoRA adapters in PEFT's files: `adapter_config.json`, `adapter_model.safetensors`, and beside
//! them the `chat_template.jinja` of the prompts that the adapter was trained on, which PEFT does
//! not record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use engine::{EngineError, Llama, LlamaConfig, LoraConfig, LoraWeights};
use serde::de::IgnoredAny;

use crate::adapter::checkpoint_folder::{OPTIMIZER_FILE, STATE_FILE};
use crate::error::LlamaError;
use crate::files::atomic_write::Staged;
use crate::files::safetensors::Safetensors;
use crate::model::checkpoint::names;

mod base;
mod checkpoint_folder;
mod config;
mod mlx;
mod ranks;
pub mod training_checkpoint;
mod weights;
mod whole;

/// PEFT's name for the configuration's file.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// PEFT's name for the weights' file.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Hugging Face's name for a chat template in a file of its own.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// A LoRA adapter as its folder holds it.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// Rank, scale, dropout and the projections' names.
    pub config: LoraConfig,
    /// One for each projection.
    pub weights: Vec<LoraWeights>,
    /// The model it was trained on, as the trainer was told (`base_model_name_or_path`).
    pub base_model: Option<String>,
    /// The Jinja source of the prompts it was trained on.
    pub chat_template: Option<String>,
}

impl Adapter {
    /// Reads the adapter in the folder `dir`.
    ///
    /// # Errors
    /// If a file is missing or broken, or the adapter uses a variant of LoRA that the engine does
    /// not have.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, LlamaError> {
        Self::load_for(dir, None, device)
    }

    /// The same of an adapter for the model in the file or folder `base`: whole matrices beside the projections' are
    /// let through if they equal the model's.
    pub(crate) fn load_for(dir: &Path, base: Option<&Path>, device: &Device) -> Result<Self, LlamaError> {
        let path = dir.join(CONFIG_FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(LlamaError::file(dir, no_adapter(dir, device)));
            }
            text => text.map_err(LlamaError::io(&path))?,
        };
        let refused = |reason| LlamaError::file(&path, reason);
        let fields = config::fields(&text).map_err(refused)?;
        let chat_template = template_in(dir)?;
        if mlx::is_config(&fields) {
            let mut config = mlx::config(&fields).map_err(refused)?;
            let weights = mlx::weights(dir, &config, device)?;
            config.target_modules = weights.iter().map(|pair| pair.module.clone()).collect();
            return Ok(Self { config, weights, base_model: None, chat_template });
        }
        let config = config::parse(&fields).map_err(refused)?;

        let path = dir.join(WEIGHTS_FILE);
        if !path.exists() && dir.join("adapter_model.bin").exists() {
            let reason = "holds adapter_model.bin, a pickle, which can run programs and is not read; load it with \
                 Python's peft and save it with safe_serialization=True";
            return Err(LlamaError::file(dir, reason));
        }
        let config::PeftConfig { mut lora, targets, some_layers, base_model, ranks, alphas } = config;
        let rank_of = |module: &str| ranks.of(module).map_or(lora.r, |rank| rank as usize);
        let weights = weights::read(&Safetensors::open(&path)?, &lora, rank_of, base, device)?;
        let alpha_of =
            |pair: &LoraWeights| alphas.of(&pair.module).map_or(lora.lora_alpha, |alpha| alpha as f32);
        let alphas: Vec<f32> = weights.iter().map(alpha_of).collect();
        let weights = ranks::unify(weights, &alphas, &mut lora);
        lora.target_modules = targets
            .resolve(&weights, some_layers.as_deref())
            .map_err(|reason| LlamaError::file(&path, reason))?;

        Ok(Self { config: lora, weights, base_model, chat_template })
    }

    /// Reads the adapter in the folder `dir` and attaches it to `llama`, which was read from the file or folder `base`.
    ///
    /// # Errors
    /// As [`Adapter::load`], and if the adapter is another model's.
    pub fn load_onto(dir: &Path, llama: &mut Llama, base: &Path) -> Result<Self, LlamaError> {
        let adapter = Self::load_for(dir, Some(base), llama.device())?;
        let fit = |error| LlamaError::file(dir, format!("does not fit the model: {error}"));
        adapter.check_complete(llama.config()).map_err(|reason| fit(EngineError::Adapter(reason)))?;
        llama.attach_lora(&adapter.config, adapter.weights.clone()).map_err(fit)?;
        Ok(adapter)
    }

    /// Checks that every projection which the targets name has weights: the engine would leave the layers that an
    /// adapter of a shallower model lacks without one. (An adapter of some layers names each of its projections.)
    pub(crate) fn check_complete(&self, model: &LlamaConfig) -> Result<(), String> {
        let projections = names::tensors(model).filter(|(name, _)| names::is_projection(name));
        let is_named = |(name, _): &(String, _)| {
            name.strip_suffix(".weight").is_some_and(|module| self.config.targets(module))
        };
        let wanted = projections.filter(is_named).count();
        match self.weights.len() == wanted {
            true => Ok(()),
            false => Err(format!(
                "it has {} projections; {} in the model's {} layers are {wanted}",
                self.weights.len(),
                self.config.target_modules.join(", "),
                model.num_hidden_layers
            )),
        }
    }

    /// Writes the adapter to the folder `dir`, which is made if it is missing. An adapter that is
    /// there is replaced; other files stay.
    ///
    /// Every file is first written in full under a temporary name, and the configuration is renamed
    /// last: a folder without it is no adapter, so a first save that is cut short leaves none.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before then stays.
    pub fn save(&self, dir: &Path) -> Result<(), LlamaError> {
        let weights = weights::serialize(&self.weights).map_err(|reason| LlamaError::file(dir, reason))?;
        let config = config::render(&self.config, self.base_model.as_deref());
        fs::create_dir_all(dir).map_err(LlamaError::io(dir))?;

        let mut files = vec![(WEIGHTS_FILE, weights.as_slice())];
        files.extend(self.chat_template.as_ref().map(|source| (TEMPLATE_FILE, source.as_bytes())));
        files.push((CONFIG_FILE, config.as_bytes()));

        let staged: Vec<Staged> = files
            .iter()
            .map(|(name, bytes)| Staged::write(&dir.join(name), bytes))
            .collect::<Result<_, _>>()?;
        if self.chat_template.is_none() {
            // Remove the template of an adapter that is replaced: it is not this one's.
            let path = dir.join(TEMPLATE_FILE);
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(LlamaError::Io { path, cause });
                }
                _ => {}
            }
        }
        staged.into_iter().try_for_each(Staged::commit)
    }
}

/// The prompts that the adapter in `dir` was trained on.
fn template_in(dir: &Path) -> Result<Option<String>, LlamaError> {
    let path = dir.join(TEMPLATE_FILE);
    match fs::read_to_string(&path) {
        Ok(source) => Ok(Some(source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(LlamaError::Io { path, cause }),
    }
}

/// Why a folder without configuration is no adapter.
fn no_adapter(dir: &Path, device: &Device) -> String {
    let checkpoints = checkpoint_folder::checkpoint_steps(dir).unwrap_or_default();
    let is_whole = |path: &PathBuf| {
        let state = fs::read(path.join(STATE_FILE)).unwrap_or_default();
        serde_json::from_slice::<IgnoredAny>(&state).is_ok()
            && Safetensors::open(&path.join(OPTIMIZER_FILE)).is_ok()
            && Adapter::load(path, device).is_ok()
    };
    let paths = checkpoints.iter().rev().map(|step| checkpoint_folder::checkpoint_path(dir, *step));
    let whole = || paths.into_iter().find(is_whole);
    if !dir.exists() {
        "there is no such folder".into()
    } else if !dir.is_dir() {
        format!("is a file; an adapter is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}")
    } else if checkpoints.is_empty() && dir.join("config.json").exists() {
        format!("holds a model, not an adapter: there is no {CONFIG_FILE}")
    } else if checkpoints.is_empty() {
        format!("holds no adapter in PEFT's files: there is no {CONFIG_FILE}")
    } else {
        match whole() {
            Some(path) => format!("is a run that has not ended; its latest adapter is in {}", path.display()),
            None => "is a run that has not ended, and none of its checkpoints is whole".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;

    fn device() -> Device {
        engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
    }

    fn pair(module: &str, scale: f32) -> LoraWeights {
        let numbers = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|i| scale * (i as f32 + 0.25)).collect();
            Tensor::from_data(TensorData::new(values, [rows, columns]), &device())
        };
        LoraWeights { module: module.into(), a: numbers(2, 3), b: numbers(4, 2), magnitude: None }
    }

    fn adapter() -> Adapter {
        Adapter {
            config: LoraConfig {
                r: 2,
                lora_alpha: 16.0,
                lora_dropout: 0.05,
                target_modules: vec!["q_proj".into(), "v_proj".into()],
                ..LoraConfig::default()
            },
            weights: vec![
                pair("model.layers.0.self_attn.q_proj", 1.0),
                pair("model.layers.0.self_attn.v_proj", -0.5),
            ],
            base_model: Some("smollm2-135m".into()),
            chat_template: Some("{{ messages }}".into()),
        }
    }

    /// `(module, A, B)` for comparing.
    fn numbers(weights: &[LoraWeights]) -> Vec<(String, Vec<f32>, Vec<f32>)> {
        let values = |tensor: &Tensor<2>| tensor.to_data().try_to_vec::<f32>().unwrap();
        weights.iter().map(|pair| (pair.module.clone(), values(&pair.a), values(&pair.b))).collect()
    }

    fn message(dir: &Path) -> String {
        Adapter::load(dir, &device()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/adapter");
        adapter().save(&folder).unwrap();
        let loaded = Adapter::load(&folder, &device()).unwrap();
        assert_eq!(loaded.config, adapter().config);
        assert_eq!(numbers(&loaded.weights), numbers(&adapter().weights));
        assert_eq!(loaded.base_model, adapter().base_model);
        assert_eq!(loaded.chat_template, adapter().chat_template);

        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [CONFIG_FILE, WEIGHTS_FILE, TEMPLATE_FILE]);
    }

    #[test]
    fn magnitudes_are_saved_and_missed() {
        let dir = tempfile::tempdir().unwrap();
        let mut dora = adapter();
        dora.config.use_dora = true;
        for pair in &mut dora.weights {
            pair.magnitude = Some(Tensor::from_data([[1.0, 2.0, 3.0, 4.0]], &device()));
        }
        dora.save(dir.path()).unwrap();
        let file = Safetensors::open(&dir.path().join(WEIGHTS_FILE)).unwrap();
        let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector";
        assert_eq!(file.shape(name), Some([4].as_slice()), "a vector, as PEFT's");
        let loaded = Adapter::load(dir.path(), &device()).unwrap();
        assert!(loaded.config.use_dora);
        for pair in loaded.weights {
            assert_eq!(pair.magnitude.unwrap().to_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        }

        let path = dir.path().join(CONFIG_FILE);
        let config = fs::read_to_string(&path).unwrap().replace("\"use_dora\": true", "\"use_dora\": false");
        fs::write(&path, config).unwrap();
        let error = message(dir.path());
        assert!(error.contains("lora_magnitude_vector` is DoRA's, but use_dora is false"), "{error}");
        dora.weights[1].magnitude = None;
        dora.save(dir.path()).unwrap();
        let error = message(dir.path());
        assert!(error.contains("v_proj.lora_magnitude_vector` is missing"), "{error}");
    }

    #[test]
    fn saving_again_replaces_the_adapter_and_leaves_other_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        adapter().save(dir.path()).unwrap();
        let mut second = adapter();
        second.config.lora_alpha = 32.0;
        second.chat_template = None;
        second.save(dir.path()).unwrap();
        let loaded = Adapter::load(dir.path(), &device()).unwrap();
        assert_eq!(loaded.config.lora_alpha, 32.0);
        assert_eq!(loaded.chat_template, None);
        assert_eq!(fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");
    }

    #[test]
    fn a_missing_or_truncated_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            message(dir.path()).contains("holds no adapter in PEFT's files: there is no adapter_config.json")
        );
        assert!(message(&dir.path().join("absent")).contains("absent: there is no such folder"));
        fs::create_dir(dir.path().join("checkpoint-4")).unwrap();
        fs::write(dir.path().join("checkpoint-4/trainer_state.json"), "{}").unwrap();
        assert!(
            message(dir.path()).contains("a run that has not ended, and none of its checkpoints is whole")
        );
        fs::remove_dir_all(dir.path().join("checkpoint-4")).unwrap();
        adapter().save(dir.path()).unwrap();

        let path = dir.path().join(WEIGHTS_FILE);
        let bytes = fs::read(&path).unwrap();
        for length in [0, 7, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(message(dir.path()).contains(WEIGHTS_FILE), "{length} bytes");
        }
        fs::remove_file(&path).unwrap();
        assert!(message(dir.path()).contains(WEIGHTS_FILE));
        fs::write(dir.path().join("adapter_model.bin"), "PK").unwrap();
        assert!(message(dir.path()).contains("adapter_model.bin, a pickle"), "{}", message(dir.path()));
    }

    #[test]
    fn a_target_without_weights_is_a_wish() {
        let dir = tempfile::tempdir().unwrap();
        let mut wishing = adapter();
        wishing.config.target_modules.push("w1".into());
        wishing.save(dir.path()).unwrap();
        assert_eq!(Adapter::load(dir.path(), &device()).unwrap().config, adapter().config);
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "mine").unwrap();
        assert!(adapter().save(&path).unwrap_err().to_string().contains("file"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn files_that_peft_wrote_load() {
        let Some(data) = std::env::var_os("CONFORMANCE_DATA") else {
            return println!("skipped: CONFORMANCE_DATA is not set");
        };
        for folder in ["init", "final"] {
            let dir = Path::new(&data).join("smollm2-lora-curve").join(folder);
            let adapter = Adapter::load(&dir, &device()).unwrap();
            assert_eq!(adapter.config.target_modules, ["q_proj", "v_proj"]);
            assert_eq!((adapter.config.r, adapter.config.lora_alpha), (8, 16.0));
            assert_eq!(adapter.weights.len(), 60);

            let copy = tempfile::tempdir().unwrap();
            adapter.save(copy.path()).unwrap();
            let (ours, theirs) = (copy.path().join(WEIGHTS_FILE), dir.join(WEIGHTS_FILE));
            assert!(fs::read(ours).unwrap() == fs::read(theirs).unwrap(), "byte for byte PEFT's file");
        }
    }
}
