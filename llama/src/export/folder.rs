//! A model's folder as transformers reads it.

use std::fs;
use std::io;
use std::path::Path;

use ::safetensors::tensor::Dtype;
use engine::quant::Nf4;
use serde_json::{Map, Value};

use super::check::ModelDescription;
use super::probe::Sums;
use super::{Export, config_json};
use crate::adapter::TEMPLATE_FILE;
use crate::error::LlamaError;
use crate::files::atomic_write::StagedFolder;
use crate::files::float::Float;
use crate::files::gguf::Storage;
use crate::files::safetensors::SafetensorsWriter;
use crate::model::checkpoint::{Checkpoint, names, nf4};
use crate::text::chat_template::ChatTemplate;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Files of a model's folder that are copied as they are.
const COPIED: [&str; 9] = [
    GENERATION_CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    TEMPLATE_FILE,
];

impl Export {
    /// Writes the model as the new folder `output`: config.json, model.safetensors, the tokenizer's files.
    /// Its matrices are `dtype`; where that is not said as they were, or f16 if they were quantized.
    ///
    /// # Errors
    /// If a tensor cannot be read or does not suit the type, or `output` is there already, or cannot be
    /// written; there is then no new folder.
    pub fn write_folder(
        &self,
        output: &Path,
        dtype: Option<Float>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), LlamaError> {
        let dtype = self.dtype(dtype)?;
        let folder = StagedFolder::create(output)?;
        let tensors = self.source.tensors();
        let layout =
            tensors.iter().map(|(name, shape)| (name.clone(), safetensors_dtype(dtype), shape.clone()));
        let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), layout.collect())?;
        let mut sums = Sums::default();
        for (index, (name, shape)) in tensors.iter().enumerate() {
            let encoded = self.source.encoded(name, shape, Storage::Float(dtype))?;
            writer.write(name, &encoded.bytes)?;
            sums.note(name, &encoded);
            progress(index + 1, tensors.len());
        }
        writer.finish()?;
        let mut config = self.config()?;
        config_json::set_dtype(&mut config, dtype);
        self.write_companions(&folder, &config)?;
        let written = folder.temporary();
        self.check(output, ModelDescription::folder(written), || Checkpoint::open(written), &sums)?;
        folder.commit()
    }

    /// Writes the model as the new folder `output` with its projections in NF4 with double quantization,
    /// as bitsandbytes has it; embeddings, norms and head as they were, or f16 if they were quantized.
    ///
    /// # Errors
    /// As [`write_folder`](Self::write_folder).
    pub fn write_nf4(&self, output: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<(), LlamaError> {
        let dtype = self.dtype(None)?;
        let folder = StagedFolder::create(output)?;
        let tensors = self.source.tensors();
        let projection = |name: &str, shape: &[usize]| match shape {
            &[rows, cols] if names::is_projection(name) => Some([rows, cols]),
            _ => None,
        };
        let mut layout = Vec::new();
        for (name, shape) in &tensors {
            match projection(name, shape) {
                Some(shape) => layout.extend(nf4::layout(name, shape)),
                None => layout.push((name.clone(), safetensors_dtype(dtype), shape.clone())),
            }
        }
        let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), layout)?;
        let mut sums = Sums::default();
        for (index, (name, shape)) in tensors.iter().enumerate() {
            match projection(name, shape) {
                Some(matrix) => {
                    let quantized = Nf4::quantize(&self.source.values(name, shape)?);
                    let parts = nf4::parts(&quantized, matrix, dtype);
                    sums.note_nf4(name, &quantized);
                    for ((part, ..), bytes) in nf4::layout(name, matrix).iter().zip(&parts) {
                        writer.write(part, bytes)?;
                    }
                }
                None => {
                    let encoded = self.source.encoded(name, shape, Storage::Float(dtype))?;
                    writer.write(name, &encoded.bytes)?;
                    sums.note(name, &encoded);
                }
            }
            progress(index + 1, tensors.len());
        }
        writer.finish()?;
        let mut config = self.config()?;
        config_json::set_dtype(&mut config, dtype);
        config_json::set_nf4(&mut config, dtype);
        self.write_companions(&folder, &config)?;
        let written = folder.temporary();
        self.check(output, ModelDescription::folder(written), || Checkpoint::open(written), &sums)?;
        folder.commit()
    }

    fn dtype(&self, asked: Option<Float>) -> Result<Float, LlamaError> {
        match asked {
            Some(dtype) => Ok(dtype),
            None => Ok(self.source.float()?.unwrap_or(Float::F16)),
        }
    }

    /// The model's config.json, or one made for it.
    fn config(&self) -> Result<Map<String, Value>, LlamaError> {
        let checkpoint = &self.source.checkpoint;
        if checkpoint.gguf().is_some() {
            return config_json::of(checkpoint.config(), &self.tokenizer()?)
                .map_err(|reason| LlamaError::file(checkpoint.path(), reason));
        }
        let path = self.folder.join(CONFIG);
        let text = fs::read(&path).map_err(LlamaError::io(&path))?;
        serde_json::from_slice(&text).map_err(|error| LlamaError::file(&path, error.to_string()))
    }

    /// Writes all files but those of the tensors.
    fn write_companions(&self, folder: &StagedFolder, config: &Map<String, Value>) -> Result<(), LlamaError> {
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(LlamaError::io(&path))
        };
        let put_json = |name: &str, fields: &Map<String, Value>| {
            let json = serde_json::to_string_pretty(fields);
            put(
                name,
                &(json.map_err(|error| LlamaError::file(&folder.join(name), error.to_string()))? + "\n"),
            )
        };
        put_json(CONFIG, config)?;
        match self.source.checkpoint.gguf() {
            Some(gguf) => {
                let tokenizer = self.tokenizer()?;
                let refused = |reason: String| LlamaError::file(gguf.path(), reason);
                put(TOKENIZER, &tokenizer.to_json().map_err(refused)?.to_string())?;
                let context = self.source.checkpoint.config().max_position_embeddings;
                put_json(TOKENIZER_CONFIG, &config_json::tokenizer(&tokenizer, context))?;
                put_json(GENERATION_CONFIG, &config_json::generation(&tokenizer))?;
                let template =
                    ChatTemplate::from_gguf(gguf, "", "").map_err(|error| refused(error.to_string()))?;
                if let Some(template) = template {
                    put(TEMPLATE_FILE, template.source())?;
                }
            }
            None => {
                for name in COPIED {
                    copy(&self.folder.join(name), &folder.join(name))?;
                }
            }
        }
        // The merged model was trained on the adapter's prompts.
        match self.source.adapter.as_ref().and_then(|adapter| adapter.chat_template.as_ref()) {
            Some(template) => put(TEMPLATE_FILE, template),
            None => Ok(()),
        }
    }
}

/// Copies a file if it is there.
fn copy(from: &Path, to: &Path) -> Result<(), LlamaError> {
    match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(LlamaError::Io { path: from.to_path_buf(), cause }),
        Ok(_) => Ok(()),
    }
}

fn safetensors_dtype(float: Float) -> Dtype {
    match float {
        Float::F32 => Dtype::F32,
        Float::F16 => Dtype::F16,
        Float::BF16 => Dtype::BF16,
    }
}
