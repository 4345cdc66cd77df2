//! What sentence-transformers' files say beside the model: the longest text, the pooling and the prompts.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::RagError;
use crate::bert::BertConfig;

/// How a text's token states become its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token, `[CLS]`.
    First,
}

/// How an encoder is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Tokens of a text that are looked at.
    pub max_tokens: usize,
    pub pooling: Pooling,
    /// Put before a question.
    pub question_prompt: String,
    /// Put before a passage.
    pub passage_prompt: String,
}

impl Settings {
    /// Reads the settings in `folder`; a file that is not there says what most models do.
    ///
    /// # Errors
    /// If a file cannot be read, or asks for what is not known.
    pub fn read(folder: &Path, config: &BertConfig) -> Result<Self, RagError> {
        let [question_prompt, passage_prompt] = prompts(&folder.join("config_sentence_transformers.json"))?;
        Ok(Settings {
            max_tokens: max_tokens(&folder.join("sentence_bert_config.json"), config)?,
            pooling: pooling(&folder.join("1_Pooling/config.json"))?,
            question_prompt,
            passage_prompt,
        })
    }
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RagError> {
    let bytes = fs::read(path).map_err(RagError::io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| RagError::file(path, error))
}

/// The file's content, if it is there.
fn optional(path: &Path) -> Result<Option<Value>, RagError> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}

fn pooling(path: &Path) -> Result<Pooling, RagError> {
    let Some(pooling) = optional(path)? else { return Ok(Pooling::Mean) };
    let on = |mode: &str| pooling.get(mode).and_then(Value::as_bool) == Some(true);
    let modes = pooling.as_object().into_iter().flat_map(|modes| modes.keys());
    let modes: Vec<&str> =
        modes.map(String::as_str).filter(|mode| mode.starts_with("pooling_mode_") && on(mode)).collect();
    match modes[..] {
        [] | ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        _ => Err(RagError::file(
            path,
            format!("`{}` is not supported, only the mean or the first token", modes.join("`, `")),
        )),
    }
}

/// The prompts of questions and of passages, under the names that sentence-transformers looks for; else the default
/// one for both, else none.
fn prompts(path: &Path) -> Result<[String; 2], RagError> {
    let Some(settings) = optional(path)? else { return Ok(Default::default()) };
    let prompt = |name: &str| settings.get("prompts")?.get(name)?.as_str();
    let default = settings.get("default_prompt_name").and_then(Value::as_str).and_then(prompt);
    let first = |names: &[&str]| {
        let named = names.iter().copied().find_map(prompt).filter(|prompt| !prompt.is_empty());
        named.or(default).unwrap_or_default().to_string()
    };
    Ok([first(&["query"]), first(&["document", "passage", "corpus"])])
}

/// `max_seq_length` of sentence-transformers, else all the positions that the model has.
fn max_tokens(path: &Path, config: &BertConfig) -> Result<usize, RagError> {
    let most = config.max_tokens();
    let settings = optional(path)?.unwrap_or_default();
    let Some(length) = settings.get("max_seq_length").filter(|length| !length.is_null()) else {
        return Ok(most);
    };
    // `[CLS]`, `[SEP]` and at least one token of text
    match length.as_u64().and_then(|length| usize::try_from(length).ok()) {
        Some(length) if (3..=most).contains(&length) => Ok(length),
        _ => Err(RagError::file(path, format!("max_seq_length is {length}; expected 3 to {most}"))),
    }
}
