//! The weights of a sentence encoder with those of a LoRA adapter added.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use engine::{Weight, WeightSource};
use llama::files::safetensors::Safetensors;
use serde::Deserialize;

use crate::RagError;
use crate::sentence_encoder::SafetensorsWeights;

/// An adapter in PEFT's layout (`adapter_config.json`, `adapter_model.safetensors`), plain LoRA, with a head.
#[derive(Debug)]
pub(super) struct Adapter {
    pub file: Safetensors,
    config: AdapterConfig,
    /// The modules that have been asked for.
    used: BTreeSet<String>,
}

/// The fields of `adapter_config.json` that change what is computed.
#[derive(Debug, Deserialize)]
struct AdapterConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f32,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default = "none")]
    bias: String,
}

fn none() -> String {
    "none".into()
}

impl Adapter {
    /// Opens the adapter in `folder`.
    ///
    /// # Errors
    /// If a file is missing, or it is not plain LoRA.
    pub fn open(folder: &Path) -> Result<Self, RagError> {
        let path = folder.join("adapter_config.json");
        let json = fs::read(&path).map_err(RagError::io(&path))?;
        let config: AdapterConfig =
            serde_json::from_slice(&json).map_err(|error| RagError::file(&path, error))?;
        let is_plain =
            config.peft_type == "LORA" && !config.use_rslora && !config.use_dora && config.bias == "none";
        if !is_plain || config.r == 0 || !config.lora_alpha.is_finite() {
            let reason = "not plain LoRA without biases, with r above 0 and a finite lora_alpha";
            return Err(RagError::file(&path, reason));
        }
        let file = Safetensors::open(&folder.join("adapter_model.safetensors"))?;
        Ok(Adapter { file, config, used: BTreeSet::new() })
    }

    fn path(&self) -> PathBuf {
        self.file.path().to_path_buf()
    }

    /// A tensor's numbers. One that is not finite would make every score NaN, and no doubt is above NaN.
    ///
    /// # Errors
    /// If it is missing, has another shape, or a number is not finite.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, RagError> {
        let values = self.file.read(name, shape)?;
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
        self.used.insert(module.to_string());
        let scale = lora_alpha / r as f32;
        for (row, b) in matrix.chunks_exact_mut(input).zip(b.chunks_exact(r)) {
            for (a, b) in a.chunks_exact(input).zip(b) {
                row.iter_mut().zip(a).for_each(|(weight, a)| *weight += scale * b * a);
            }
        }
        Ok(())
    }

    /// That no module of the adapter was left out.
    ///
    /// # Errors
    /// If the encoder has no such module.
    pub fn check_all_used(&self) -> Result<(), RagError> {
        for name in self.file.names().filter(|name| !name.starts_with("head.")) {
            let module = name.strip_prefix("base_model.model.").and_then(|name| name.rsplit_once(".lora_"));
            if !module.is_some_and(|(module, _)| self.used.contains(module)) {
                return Err(RagError::file(&self.path(), format!("the encoder has no place for `{name}`")));
            }
        }
        Ok(())
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
