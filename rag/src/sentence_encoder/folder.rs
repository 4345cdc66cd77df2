//! The files of a sentence encoder.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use llama::files::safetensors::Safetensors;
use tokenizers::Tokenizer;

use super::settings::read_json;
use super::weights::MappedRows;
use crate::RagError;
use crate::bert::{BertConfig, name_of_words};

/// `config.json`, `tokenizer.json` and `model.safetensors` of a BERT.
pub(crate) struct EncoderFolder {
    pub config: BertConfig,
    pub tokenizer: Tokenizer,
    pub tokenizer_json: Vec<u8>,
    pub file: Arc<Safetensors>,
}

impl EncoderFolder {
    /// Opens the files in `folder`.
    ///
    /// # Errors
    /// If one is missing, or is not that of a BERT.
    pub fn open(folder: &Path) -> Result<Self, RagError> {
        let path = folder.join("config.json");
        let config: BertConfig = read_json(&path)?;
        config.validate().map_err(|error| RagError::file(&path, error))?;
        let path = folder.join("tokenizer.json");
        let tokenizer_json = fs::read(&path).map_err(RagError::io(&path))?;
        let tokenizer = open_tokenizer(&tokenizer_json).map_err(|error| RagError::file(&path, error))?;
        let file = Arc::new(Safetensors::open(&folder.join("model.safetensors"))?);
        Ok(EncoderFolder { config, tokenizer, tokenizer_json, file })
    }

    /// The word embeddings, which stay in their file.
    ///
    /// # Errors
    /// If they are not there, or of another shape than the configuration says.
    pub fn words(&self) -> Result<MappedRows, RagError> {
        let words = MappedRows {
            name: name_of_words(|name| self.file.contains(name)),
            shape: [self.config.vocab_size, self.config.hidden_size],
            file: self.file.clone(),
        };
        words.check()?;
        Ok(words)
    }
}

/// The tokenizer without the truncation and padding that its file may carry, and with `[SEP]` and its
/// like in a text read as the words they are.
fn open_tokenizer(json: &[u8]) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(json)?;
    tokenizer.with_truncation(None)?.with_padding(None);
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}
