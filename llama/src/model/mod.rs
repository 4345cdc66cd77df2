//! A whole model from one reference: weights, tokenizer and chat template.

pub mod checkpoint;
pub mod config;

use std::path::{Path, PathBuf};

use engine::Llama;
use engine::device::Device;

use crate::error::LlamaError;
use crate::hub;
use crate::model::checkpoint::Checkpoint;
use crate::model::checkpoint::WeightForm;
use crate::text::chat_template::ChatTemplate;
use crate::text::tokenizer::Tokenizer;

/// A model with everything that its text needs.
#[derive(Debug)]
pub struct Model {
    /// The weights.
    pub llama: Llama,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// How conversations are written, if the checkpoint says.
    pub chat_template: Option<ChatTemplate>,
    /// The reference it was opened by; of a path, the file name without its ending.
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
        Self::open_in(reference, WeightForm::default(), device)
    }

    /// As [`Model::open`], with the matrices in the given form.
    ///
    /// # Errors
    /// As [`Model::open`], and if a matrix does not suit the form.
    pub fn open_in(reference: &str, form: WeightForm, device: &Device) -> Result<Self, LlamaError> {
        let path = hub::resolve(reference)?;
        let checkpoint = Checkpoint::open(&path)?;
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
        let spelled = |tokenizer: &Tokenizer, id: Option<u32>| {
            id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default()
        };
        let refused = |error: &dyn std::fmt::Display| LlamaError::file(&path, error.to_string());
        let tokenizer = match checkpoint.gguf() {
            Some(gguf) => Tokenizer::from_gguf(gguf).map_err(|error| refused(&error))?,
            None => Tokenizer::from_dir(folder).map_err(|error| refused(&error))?,
        };
        let config = checkpoint.config();
        check_vocabulary(&tokenizer, config.vocab_size).map_err(|reason| refused(&reason))?;
        let llama = Llama::load(config.clone(), &mut checkpoint.weights(device).with_form(form), device)?;
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

/// Checks that every token a text can contain has a row in the embedding table. Control tokens beyond the table, which
/// an added padding token often is, are accepted unless texts begin or end with them.
fn check_vocabulary(tokenizer: &Tokenizer, rows: usize) -> Result<(), String> {
    let ends = tokenizer.bos().into_iter().chain(tokenizer.eos().iter().copied());
    let beyond = (rows..tokenizer.vocab_size()).filter_map(|id| u32::try_from(id).ok());
    let texts = beyond.filter(|&id| !tokenizer.is_control(id) && tokenizer.id_to_token(id).is_some());
    match ends.filter(|&id| id as usize >= rows).chain(texts).next() {
        Some(id) => Err(format!(
            "its tokenizer has the token {id} ({:?}), but its embedding table has {rows} rows: the tokenizer is \
             another model's",
            tokenizer.id_to_token(id).unwrap_or_default()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A tokenizer of `a`, `b` and the control tokens `<s>` and, as id 3, `<pad>`.
    fn tokenizer(bos: &str) -> Tokenizer {
        let dir = tempfile::tempdir().unwrap();
        let added = |id: u32, content: &str| {
            json!({ "id": id, "content": content, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false })
        };
        let file = json!({
            "version": "1.0", "added_tokens": [added(2, "<s>"), added(3, "<pad>")],
            "model": { "type": "BPE", "vocab": { "a": 0, "b": 1, "<s>": 2 }, "merges": [] },
        });
        std::fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), json!({ "bos_token": bos }).to_string())
            .unwrap();
        Tokenizer::from_dir(dir.path()).unwrap()
    }

    #[test]
    fn a_tokenizer_of_another_model_is_refused() {
        assert_eq!(check_vocabulary(&tokenizer("<s>"), 4), Ok(()));
        assert_eq!(check_vocabulary(&tokenizer("<s>"), 3), Ok(()), "padding that no text has");
        let error = check_vocabulary(&tokenizer("<pad>"), 3).unwrap_err();
        assert!(error.contains("the token 3 (\"<pad>\")") && error.contains("has 3 rows"), "{error}");
        let error = check_vocabulary(&tokenizer("<s>"), 1).unwrap_err();
        assert!(error.contains("the token 2 ") || error.contains("the token 1 (\"b\")"), "{error}");
    }
}
