//! Hugging Face's tokenizer.json.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::TokenizerError;
use super::parts::Parts;
use super::sentencepiece::unspellable;

/// An entry of `added_tokens`.
#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// What is read beside the tokenizer itself.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    model: ModelOutline,
}

#[derive(Default, Deserialize)]
struct ModelOutline {
    r#type: Option<String>,
    unk_id: Option<u32>,
    unk_token: Option<String>,
}

/// Reads the file at `path`.
pub(super) fn open(path: &Path) -> Result<Parts, TokenizerError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| TokenizerError::file(path, error.to_string()))?;
    parse(&text).map_err(|reason| TokenizerError::file(path, reason))
}

/// Reads the file's contents.
pub(super) fn parse(text: &str) -> Result<Parts, String> {
    let no_tokenizer = |error: serde_json::Error| format!("is no tokenizer.json: {error}");
    let outline: Outline = serde_json::from_str(text).map_err(no_tokenizer)?;
    let model: tokenizers::Tokenizer = if outline.model.r#type.as_deref() == Some("Unigram") {
        let mut json: Value = serde_json::from_str(text).map_err(no_tokenizer)?;
        hide_control_pieces(&mut json, &outline.added_tokens);
        serde_json::from_value(json).map_err(no_tokenizer)?
    } else {
        serde_json::from_str(text).map_err(no_tokenizer)?
    };
    let unknown = outline.model.unk_token.and_then(|token| model.token_to_id(&token));
    let unknown = unknown.or(outline.model.unk_id);
    let added = outline.added_tokens.into_iter().map(|added| {
        let token = added.token;
        // A control token is looked for as the template wrote it, before the text is normalized, so
        // that `Tokenizer::shield` can hide it and every one that a template writes is found.
        let normalized = token.normalized && !token.special;
        (added.id, token.normalized(normalized))
    });
    Ok(Parts {
        added: added.collect(),
        piece_normalizer: model.get_normalizer().cloned(),
        model,
        bos: None,
        eos: Vec::new(),
        unknown,
        warnings: Vec::new(),
    })
}

/// A unigram model lists its control pieces among the others and would find them in a text.
fn hide_control_pieces(json: &mut Value, added: &[Added]) {
    let pieces = json.pointer_mut("/model/vocab").and_then(Value::as_array_mut);
    for (id, entry) in pieces.into_iter().flatten().enumerate() {
        let is_control =
            |text: &str| added.iter().any(|added| added.token.special && added.token.content == text);
        if let Some(text) = entry.get_mut(0)
            && text.as_str().is_some_and(is_control)
        {
            *text = Value::String(unspellable(id));
        }
    }
}
