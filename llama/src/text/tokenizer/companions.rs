//! The files that lie beside a tokenizer and say what its special tokens are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokenizers::AddedToken;

use super::TokenizerError;
use super::parts::is_control_name;

/// What the files of a model's folder say about its tokens.
#[derive(Debug, Default)]
pub(super) struct Companions {
    pub(super) bos: Option<TokenName>,
    /// Tokens that end a generation: the end-of-sequence token first, then those that the configurations add.
    pub(super) eos: Vec<TokenName>,
    pub(super) add_bos: Option<bool>,
    pub(super) add_eos: Option<bool>,
    /// Whether the tokenizer's class obeys these two even if there is a tokenizer.json.
    pub(super) is_llama: bool,
    /// Tokens that were added after the tokenizer was trained.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// Of a sentencepiece model: false where a space is put before a text only, not before what follows a special
    /// token.
    pub(super) legacy: Option<bool>,
    /// Of a sentencepiece model: whether a space is put before a text at all.
    pub(super) add_prefix_space: Option<bool>,
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
    added_tokens_decoder: BTreeMap<u32, AddedTokenEntry>,
    legacy: Option<bool>,
    add_prefix_space: Option<bool>,
    #[serde(default)]
    sp_model_kwargs: Option<serde_json::Map<String, Json>>,
}

#[derive(Debug, Deserialize)]
struct AddedTokenEntry {
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

impl AddedTokenEntry {
    fn new(content: String, special: bool) -> Self {
        Self { content, special, lstrip: false, rstrip: false, single_word: false }
    }
}

#[derive(Debug, Default, Deserialize)]
struct SpecialTokensMap {
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
    #[serde(default)]
    additional_special_tokens: Vec<TokenName>,
    #[serde(flatten)]
    others: BTreeMap<String, Json>,
}

impl SpecialTokensMap {
    /// Whether it lists a token.
    fn lists(&self, token: &str) -> bool {
        let is = |name: &TokenName| match name {
            TokenName::Text(content) | TokenName::Described { content } => content == token,
            TokenName::Id(_) => false,
        };
        let mut named = self.bos_token.iter().chain(&self.eos_token).chain(&self.additional_special_tokens);
        named.any(is) || self.others.values().any(|other| other == token || other["content"] == token)
    }
}

/// The part that generation_config.json and config.json share.
#[derive(Debug, Default, Deserialize)]
struct ModelConfig {
    bos_token_id: Option<TokenName>,
    eos_token_id: Option<TokenNames>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenNames {
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

        // What older versions of transformers write instead of `added_tokens_decoder`.
        let path = folder.join("added_tokens.json");
        let by_name: BTreeMap<String, u32> = read(path.clone())?;
        let mut added = tokenizer.added_tokens_decoder;
        for (content, id) in by_name {
            let special = special.lists(&content);
            let known = added.entry(id).or_insert_with(|| AddedTokenEntry::new(content.clone(), special));
            if known.content != content {
                let reason = format!(
                    "token {id} is `{content}` here and `{}` in tokenizer_config.json",
                    known.content
                );
                return Err(TokenizerError::file(&path, reason));
            }
        }
        if let Some(options) = tokenizer.sp_model_kwargs
            && let Some((name, value)) =
                options.iter().find(|(name, value)| *name != "enable_sampling" || **value != false)
        {
            let reason = format!("`sp_model_kwargs` sets {name} to {value}, which is not supported");
            return Err(TokenizerError::file(&folder.join("tokenizer_config.json"), reason));
        }
        let mut eos: Vec<TokenName> = tokenizer.eos_token.or(special.eos_token).into_iter().collect();
        match generation.eos_token_id.or(model.eos_token_id) {
            Some(TokenNames::One(id)) => eos.push(id),
            Some(TokenNames::Many(ids)) => eos.extend(ids),
            None => {}
        }
        Ok(Self {
            legacy: tokenizer.legacy,
            add_prefix_space: tokenizer.add_prefix_space,
            bos: tokenizer.bos_token.or(special.bos_token).or(generation.bos_token_id).or(model.bos_token_id),
            eos,
            add_bos: tokenizer.add_bos_token,
            add_eos: tokenizer.add_eos_token,
            is_llama: tokenizer.tokenizer_class.contains("Llama"),
            added: added
                .into_iter()
                .map(|(id, AddedTokenEntry { content, special, lstrip, rstrip, single_word })| {
                    let special = special || is_control_name(&content);
                    let token = AddedToken::from(content, special).normalized(false);
                    (id, token.lstrip(lstrip).rstrip(rstrip).single_word(single_word))
                })
                .collect(),
        })
    }
}

/// Reads a JSON file; the default if there is none.
fn read<T: DeserializeOwned + Default>(path: PathBuf) -> Result<T, TokenizerError> {
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(TokenizerError::file(&path, error.to_string())),
        Ok(bytes) => bytes,
    };
    serde_json::from_slice(&bytes).map_err(|error| TokenizerError::file(&path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::Json;
    use crate::text::tokenizer::Tokenizer;

    /// A tokenizer.json of `a`, `b`, `c` and the added `<s>`, beside a tokenizer_config.json.
    fn opened(config: Json, added: Json) -> Result<Tokenizer, String> {
        let dir = tempfile::tempdir().unwrap();
        let begin = json!({ "id": 3, "content": "<s>", "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false });
        let file = json!({
            "version": "1.0", "added_tokens": [begin],
            "model": { "type": "BPE", "vocab": { "a": 0, "b": 1, "c": 2, " ": 4 }, "merges": [] },
        });
        for (name, json) in
            [("tokenizer.json", file), ("tokenizer_config.json", config), ("added_tokens.json", added)]
        {
            fs::write(dir.path().join(name), json.to_string()).unwrap();
        }
        Tokenizer::from_dir(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_that_are_added_beside_a_tokenizer_json_are_read() {
        let decoder = |id: &str, content: &str| {
            json!({ "added_tokens_decoder": { id: {
            "content": content, "special": true, "rstrip": true } } })
        };
        let ids = |tokenizer: Tokenizer, text| tokenizer.encode_with_control(text).unwrap();
        let tokenizer = opened(decoder("5", "<|im_start|>"), json!({})).unwrap();
        assert_eq!(ids(tokenizer, "a<|im_start|> b"), [0, 5, 1], "with the space after it");
        let tokenizer = opened(json!({}), json!({ "<|im_start|>": 5, "<|im_end|>": 6 })).unwrap();
        assert_eq!(ids(tokenizer, "<|im_end|>a<|im_start|> b"), [6, 0, 5, 4, 1]);
        assert!(opened(decoder("3", "<s>"), json!({})).is_ok(), "said twice");
        assert_eq!(
            ids(opened(decoder("2", "c"), json!({})).unwrap(), "c b"),
            [2, 1],
            "a token of the vocabulary"
        );

        for (config, reason) in [
            (decoder("1", "<x>"), "calls token 1 `<x>`, which is `b` in tokenizer.json"),
            (decoder("9", "<s>"), "calls token 9 `<s>`, which is token 3 in tokenizer.json"),
            (decoder("7", "<x>"), "calls token 7 `<x>`, and tokenizer.json ends with 4"),
        ] {
            let error = opened(config, json!({})).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
