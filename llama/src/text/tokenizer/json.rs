//! Hugging Face's tokenizer.json.

use std::collections::BTreeSet;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::TokenizerError;
use super::parts::{TokenizerParts, is_control_name};
use super::sentencepiece::unspellable;

/// The fields of the file that are read here; the `tokenizers` crate reads the rest.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    model: ModelOutline,
}

/// An entry of `added_tokens`.
#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Default, Deserialize)]
struct ModelOutline {
    r#type: Option<String>,
    unk_id: Option<u32>,
    unk_token: Option<String>,
}

/// A file whose model is BPE.
#[derive(Deserialize)]
struct BpeFile {
    model: Bpe,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    continuing_subword_prefix: Option<String>,
}

/// A merge in the old way of writing it, with a space, or in the new one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

/// Reads the file at `path`.
pub(super) fn open(path: &Path) -> Result<TokenizerParts, TokenizerError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| TokenizerError::file(path, error.to_string()))?;
    parse(&text).map_err(|reason| TokenizerError::file(path, reason))
}

/// Reads the file's contents.
pub(super) fn parse(text: &str) -> Result<TokenizerParts, String> {
    let no_tokenizer = |error: serde_json::Error| format!("is no tokenizer.json: {error}");
    let mut outline: Outline = serde_json::from_str(text).map_err(no_tokenizer)?;
    for Added { token, .. } in &mut outline.added_tokens {
        token.special |= is_control_name(&token.content);
        // A control token is looked for as the template wrote it, before the text is normalized, so
        // that `Tokenizer::shield` can hide it and every one that a template writes is found.
        token.normalized &= !token.special;
    }
    check_post_processor(&outline.post_processor)?;
    let model: tokenizers::Tokenizer = match outline.model.r#type.as_deref() {
        Some("Unigram") => {
            let mut json: Value = serde_json::from_str(text).map_err(no_tokenizer)?;
            hide_control_pieces(&mut json, &outline.added_tokens);
            serde_json::from_value(json).map_err(no_tokenizer)?
        }
        Some("WordPiece" | "WordLevel") => serde_json::from_str(text).map_err(no_tokenizer)?,
        _ => {
            check_merges(serde_json::from_str::<BpeFile>(text).map_err(no_tokenizer)?.model)?;
            serde_json::from_str(text).map_err(no_tokenizer)?
        }
    };
    let unknown = outline.model.unk_token.and_then(|token| model.token_to_id(&token));
    Ok(TokenizerParts {
        added: outline.added_tokens.into_iter().map(|added| (added.id, added.token)).collect(),
        piece_normalizer: model.get_normalizer().cloned(),
        model,
        bos: None,
        eos: Vec::new(),
        unknown: unknown.or(outline.model.unk_id),
        unused: BTreeSet::new(),
        warnings: Vec::new(),
    })
}

/// Checks that every merge joins two tokens into a third: the `tokenizers` crate panics where that is
/// longer than all tokens.
fn check_merges(model: Bpe) -> Result<(), String> {
    let prefix = model.continuing_subword_prefix.unwrap_or_default();
    for merge in &model.merges {
        let (left, right) = match merge {
            Merge::Line(line) => match line.split_once(' ') {
                Some(pair) => pair,
                None if line.starts_with("#version") => continue,
                None => {
                    return Err(format!("the merge `{line}` is not two tokens with a space between them"));
                }
            },
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
        };
        let joined = right.strip_prefix(prefix.as_str()).map(|right| format!("{left}{right}"));
        if !joined.is_some_and(|joined| model.vocab.contains_key(&joined)) {
            return Err(format!("the merge of `{left}` and `{right}` makes no token"));
        }
    }
    Ok(())
}

/// Checks that a template's special tokens are among those it lists, and that the one for a single text
/// asks for no second one: the `tokenizers` crate panics where that is not so.
fn check_post_processor(processor: &Value) -> Result<(), String> {
    let parts = processor.get("processors").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        check_post_processor(part)?;
    }
    let listed = processor.get("special_tokens").and_then(Value::as_object);
    let listed: HashSet<&str> = listed.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for template in ["single", "pair"] {
        let pieces = processor.get(template).and_then(Value::as_array);
        for piece in pieces.into_iter().flatten() {
            if template == "single" && piece.pointer("/Sequence/id") == Some(&"B".into()) {
                return Err("`post_processor` asks for a second text where there is one".into());
            }
            let name = piece.pointer("/SpecialToken/id").and_then(Value::as_str);
            if let Some(name) = name.filter(|name| !listed.contains(name)) {
                return Err(format!("`post_processor` uses the special token `{name}` and does not list it"));
            }
        }
    }
    Ok(())
}

/// A unigram model lists its control pieces among the others and would find them in a text.
fn hide_control_pieces(json: &mut Value, added: &[Added]) {
    let control: HashSet<&str> =
        added.iter().filter(|added| added.token.special).map(|added| added.token.content.as_str()).collect();
    let pieces = json.pointer_mut("/model/vocab").and_then(Value::as_array_mut);
    for (id, entry) in pieces.into_iter().flatten().enumerate() {
        if let Some(text) = entry.get_mut(0)
            && text.as_str().is_some_and(|text| control.contains(text))
        {
            *text = Value::String(unspellable(id));
        }
    }
}
