//! The weights of a sentence encoder with those of a LoRA adapter added.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use engine::{Weight, WeightSource};
use llama::files::safetensors::Safetensors;
use serde::Deserialize;
use serde_json::Value;

use crate::RagError;
use crate::sentence_encoder::SafetensorsWeights;

/// An adapter in PEFT's layout (`adapter_config.json`, `adapter_model.safetensors`), plain LoRA, with a head.
#[derive(Debug)]
pub(super) struct Adapter {
    pub file: Safetensors,
    config: AdapterConfig,
    /// The tensors that have been read.
    used: BTreeSet<String>,
}

/// The fields of `adapter_config.json` that are used. Of all others that change what is computed, [`REFUSED`] has the
/// names, or their tensors have.
#[derive(Debug, Deserialize)]
struct AdapterConfig {
    r: usize,
    lora_alpha: f32,
}

/// Fields that change what is computed in ways that are not done, with what they may be besides absent and null.
const REFUSED: [(&str, &[&str]); 9] = [
    ("use_rslora", &["false"]),
    ("use_dora", &["false"]),
    ("lora_bias", &["false"]),
    ("fan_in_fan_out", &["false"]),
    ("bias", &["\"none\""]),
    ("alpha_pattern", &["{}"]),
    ("rank_pattern", &["{}"]),
    ("init_lora_weights", &["true", "false", "\"gaussian\""]),
    ("modules_to_save", &["[]", "[\"head\"]"]),
];

/// That a configuration asks for plain LoRA.
fn check(config: &Value) -> Result<(), String> {
    if config.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        return Err("peft_type is not LORA".into());
    }
    for (field, allowed) in REFUSED {
        let value = config.get(field).unwrap_or(&Value::Null).to_string();
        if value != "null" && !allowed.contains(&value.as_str()) {
            return Err(format!("{field} is {value}, which is not done; only {}", allowed.join(" or ")));
        }
    }
    Ok(())
}

impl Adapter {
    /// Opens the adapter in `folder`.
    ///
    /// # Errors
    /// If a file is missing, or it is not plain LoRA.
    pub fn open(folder: &Path) -> Result<Self, RagError> {
        let path = folder.join("adapter_config.json");
        let json = fs::read(&path).map_err(RagError::io(&path))?;
        let fields: Value = serde_json::from_slice(&json).map_err(|error| RagError::file(&path, error))?;
        check(&fields).map_err(|reason| RagError::file(&path, reason))?;
        let config: AdapterConfig =
            serde_json::from_value(fields).map_err(|error| RagError::file(&path, error))?;
        if config.r == 0 || !config.lora_alpha.is_finite() {
            return Err(RagError::file(&path, "r is 0, or lora_alpha no finite number"));
        }
        let file = Safetensors::open(&folder.join("adapter_model.safetensors"))?;
        Ok(Adapter { file, config, used: BTreeSet::new() })
    }

    fn path(&self) -> PathBuf {
        self.file.path().to_path_buf()
    }

    /// A tensor's numbers. One that is not finite would make every score NaN.
    ///
    /// # Errors
    /// If it is missing, has another shape, or a number is not finite.
    pub fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, RagError> {
        let values = self.file.read(name, shape)?;
        self.used.insert(name.to_string());
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(RagError::file(&self.path(), format!("`{name}` has a number that is not finite"))),
        }
    }

    /// Adds `lora_alpha / r · B · A` to the matrix `[out, input]` of a module, if the adapter has that module.
    fn add_to(&mut self, module: &str, [out, input]: [usize; 2], matrix: &mut [f32]) -> Result<(), RagError> {
        let name = |part: &str| format!("base_model.model.{module}.{part}.weight");
        if !self.file.contains(&name("lora_A")) {
            return Ok(());
        }
        let AdapterConfig { r, lora_alpha, .. } = self.config;
        let a = self.read(&name("lora_A"), &[r, input])?;
        let b = self.read(&name("lora_B"), &[out, r])?;
        let scale = lora_alpha / r as f32;
        for (row, b) in matrix.chunks_exact_mut(input).zip(b.chunks_exact(r)) {
            for (a, b) in a.chunks_exact(input).zip(b) {
                row.iter_mut().zip(a).for_each(|(weight, a)| *weight += scale * b * a);
            }
        }
        Ok(())
    }

    /// That every tensor of the adapter was read.
    ///
    /// # Errors
    /// If the encoder has no place for one.
    pub fn check_all_used(&self) -> Result<(), RagError> {
        match self.file.names().find(|name| !self.used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(RagError::file(&self.path(), format!("the encoder has no place for `{name}`"))),
        }
    }
}

/// The encoder's weights, with the adapter's added.
pub(super) struct Merged {
    pub encoder: SafetensorsWeights,
    pub adapter: Adapter,
}

impl WeightSource for Merged {
    type Error = RagError;

    fn contains(&self, name: &str) -> bool {
        self.encoder.contains(name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        let mut values = self.encoder.file.read(name, &shape)?;
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let module = module.strip_prefix("bert.").unwrap_or(module);
        self.adapter.add_to(module, shape, &mut values)?;
        self.encoder.matrix_of(values, shape)
    }

    fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        self.encoder.table(name, shape)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, RagError> {
        self.encoder.vector(name, len)
    }
}
