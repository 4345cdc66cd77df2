//! A whole model from one reference: weights, tokenizer and chat template.

use std::path::{Path, PathBuf};

use engine::Llama;
use engine::device::Device;

use crate::{ChatTemplate, Checkpoint, LlamaError, Tokenizer, hub};

/// A model with everything that its text needs.
#[derive(Debug)]
pub struct Model {
    /// The weights.
    pub llama: Llama,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// How conversations are written, if the checkpoint says.
    pub chat_template: Option<ChatTemplate>,
    /// The reference it was opened by, or of a path the last part.
    pub name: String,
    /// Its file or folder.
    pub path: PathBuf,
}

impl Model {
    /// Opens the model that `reference` names, which is fetched if it is not on this machine yet.
    ///
    /// # Errors
    /// If it cannot be found or read, or is no Llama model.
    pub fn open(reference: &str, device: &Device) -> Result<Self, LlamaError> {
        let path = hub::resolve(reference)?;
        let checkpoint = Checkpoint::open(&path)?;
        let llama = Llama::load(checkpoint.config().clone(), &mut checkpoint.weights(device), device)?;
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
        let spelled = |tokenizer: &Tokenizer, id: Option<u32>| {
            id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default()
        };
        let refused = |error: &dyn std::fmt::Display| LlamaError::file(&path, error.to_string());
        let tokenizer = match checkpoint.gguf() {
            Some(gguf) => Tokenizer::from_gguf(gguf).map_err(|error| refused(&error))?,
            None => Tokenizer::from_dir(folder).map_err(|error| refused(&error))?,
        };
        let bos = spelled(&tokenizer, tokenizer.bos());
        let eos = spelled(&tokenizer, tokenizer.eos().first().copied());
        let chat_template = match checkpoint.gguf() {
            Some(gguf) => ChatTemplate::from_gguf(gguf, &bos, &eos).map_err(|error| refused(&error))?,
            None => ChatTemplate::from_dir(folder, &bos, &eos).map_err(|error| refused(&error))?,
        };
        let name = if Path::new(reference).exists() {
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        } else {
            reference.to_string()
        };
        Ok(Self { llama, tokenizer, chat_template, name, path })
    }
}
