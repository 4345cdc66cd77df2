//! The files that lie beside a tokenizer and say what its special tokens are for.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::AddedToken;

use super::TokenizerError;
use super::parts::is_control_name;

/// What the files of a model's folder say about its tokens.
#[derive(Debug, Default)]
pub(super) struct Companions {
    pub(super) bos: Option<TokenName>,
    /// What ends a generation: the end-of-sequence token first, then what the configurations add.
    pub(super) eos: Vec<TokenName>,
    pub(super) add_bos: Option<bool>,
    pub(super) add_eos: Option<bool>,
    /// Whether the tokenizer is of the class that heeds these two even beside a tokenizer.json.
    pub(super) is_llama: bool,
    /// Tokens that were added to a sentencepiece model after its training.
    pub(super) added: Vec<(u32, AddedToken)>,
}

/// A token by its text or by its id: the files use both.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum TokenName {
    Id(u32),
    Text(String),
    Described { content: String },
}

impl TokenName {
    /// The token's id.
    pub(super) fn id(&self, of: impl Fn(&str) -> Option<u32>) -> Option<u32> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Text(content) | Self::Described { content } => of(content),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
    #[serde(default)]
    tokenizer_class: String,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: std::collections::BTreeMap<u32, Described>,
}

#[derive(Debug, Deserialize)]
struct Described {
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Debug, Default, Deserialize)]
struct SpecialTokensMap {
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
}

/// The part that generation_config.json and config.json share.
#[derive(Debug, Default, Deserialize)]
struct ModelConfig {
    bos_token_id: Option<TokenName>,
    eos_token_id: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(TokenName),
    Many(Vec<TokenName>),
}

impl Companions {
    /// Reads the files of `folder` that are there.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let tokenizer: TokenizerConfig = read(folder.join("tokenizer_config.json"))?;
        let special: SpecialTokensMap = read(folder.join("special_tokens_map.json"))?;
        let generation: ModelConfig = read(folder.join("generation_config.json"))?;
        let model: ModelConfig = read(folder.join("config.json"))?;

        let mut eos: Vec<TokenName> = tokenizer.eos_token.or(special.eos_token).into_iter().collect();
        match generation.eos_token_id.or(model.eos_token_id) {
            Some(OneOrMany::One(id)) => eos.push(id),
            Some(OneOrMany::Many(ids)) => eos.extend(ids),
            None => {}
        }
        let added = tokenizer.added_tokens_decoder.into_iter();
        Ok(Self {
            bos: tokenizer.bos_token.or(special.bos_token).or(generation.bos_token_id).or(model.bos_token_id),
            eos,
            add_bos: tokenizer.add_bos_token,
            add_eos: tokenizer.add_eos_token,
            is_llama: tokenizer.tokenizer_class.contains("Llama"),
            added: added
                .map(|(id, Described { content, special })| {
                    let special = special || is_control_name(&content);
                    (id, AddedToken::from(content, special).normalized(false))
                })
                .collect(),
        })
    }
}

/// Reads a JSON file; one that is not there says nothing.
fn read<T: DeserializeOwned + Default>(path: PathBuf) -> Result<T, TokenizerError> {
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(TokenizerError::file(&path, error.to_string())),
        Ok(bytes) => bytes,
    };
    serde_json::from_slice(&bytes).map_err(|error| TokenizerError::file(&path, error.to_string()))
}
