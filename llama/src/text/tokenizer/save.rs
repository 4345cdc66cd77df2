//! A tokenizer written as files have it: Hugging Face's tokenizer.json, and a GGUF's metadata.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper};

use crate::files::gguf::{Array, Value};

use super::Tokenizer;
use super::pieces::PieceKind;
use super::pre_tokenizer::PreTokenizer;
use super::sentencepiece::SPACE;

/// A text that every known pre-tokenizer cuts in its own way: llama.cpp's, by which its converter tells
/// them apart, without its emoji.
const PROBE: &str = "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n(normal) 3 33 333 3333 33333 333333 3333333 33333333 \
    3.3 3..3 3...3 កាន់តែពិសេសអាច ?我想在apple工作1314151天～ ------======= нещо на Български \
    ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, \
    'D you like some tea? We'Ve a'lL HelloWorld/\n";

impl Tokenizer {
    /// The contents of a tokenizer.json.
    pub(crate) fn to_json(&self) -> Result<Json, String> {
        let mut json = serde_json::to_value(&self.inner.model).map_err(|error| error.to_string())?;
        // Readers of the file renumber added tokens that the model does not list.
        let vocabulary = json.pointer_mut("/model/vocab").and_then(Json::as_object_mut);
        let vocabulary = vocabulary.ok_or("only a BPE vocabulary can be written as tokenizer.json")?;
        vocabulary.extend(self.added().into_iter().map(|(id, token)| (token, json!(id))));
        Ok(json)
    }

    /// The `tokenizer.ggml.*` metadata for a model whose embedding table has `vocab_size` rows.
    pub(crate) fn to_gguf(&self, vocab_size: usize) -> Result<BTreeMap<String, Value>, String> {
        let json = serde_json::to_value(&self.inner.model).map_err(|error| error.to_string())?;
        let model = &json["model"];
        let Some(vocabulary) = model["vocab"].as_object().filter(|_| model["type"] == "BPE") else {
            return Err(format!("a vocabulary of type {} cannot be written as GGUF", model["type"]));
        };
        let mut tokens: BTreeMap<u64, &str> =
            vocabulary.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.as_str()))).collect();
        let added = self.added();
        tokens.extend(added.iter().map(|(id, token)| (u64::from(*id), token.as_str())));
        if let Some((last, token)) = tokens.last_key_value().filter(|(id, _)| **id >= vocab_size as u64) {
            return Err(format!(
                "the token {last} (`{token}`) lies beyond the embedding table's {vocab_size} rows"
            ));
        }
        let merges: Vec<[&str; 2]> = model["merges"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some([pair.get(0)?.as_str()?, pair.get(1)?.as_str()?]))
            .collect();

        let mut metadata = BTreeMap::new();
        let mut put = |name: &str, value: Value| metadata.insert(format!("tokenizer.ggml.{name}"), value);
        let byte_level = types(&json["pre_tokenizer"]).contains(&"ByteLevel");
        if byte_level {
            put("model", Value::String("gpt2".into()));
            put("pre", Value::String(self.pre_tokenizer_name(&json)?.into()));
            let lines = merges.iter().map(|[left, right]| format!("{left} {right}"));
            put("merges", Value::Array(Array::String(lines.collect())));
        } else if model["byte_fallback"] == true {
            only(&json["normalizer"], &["Sequence", "Prepend", "Replace"])?;
            only(&json["pre_tokenizer"], &["Metaspace"])?;
            put("model", Value::String("llama".into()));
            put("scores", Value::Array(Array::F32(scores(&tokens, vocab_size, &merges))));
            put("add_space_prefix", Value::Bool(self.adds_space()?));
        } else {
            return Err("a BPE vocabulary without bytes cannot be written as GGUF".into());
        }

        let (all, kinds): (Vec<String>, Vec<i32>) = (0..vocab_size as u64)
            .map(|id| match tokens.get(&id) {
                Some(token) => (token.to_string(), self.kind(id as u32, token, &added, byte_level) as i32),
                // A row without a token, as llama.cpp's converter writes it.
                None => (format!("[PAD{id}]"), PieceKind::Unused as i32),
            })
            .unzip();
        put("tokens", Value::Array(Array::String(all)));
        put("token_type", Value::Array(Array::I32(kinds)));
        let inner = &self.inner;
        let eos = inner.eos.first().copied();
        for (name, id) in
            [("bos_token_id", inner.bos), ("eos_token_id", eos), ("unknown_token_id", inner.unknown)]
        {
            if let Some(id) = id {
                put(name, Value::U32(id));
            }
        }
        let (bos, eos) = self.adds_bos_and_eos()?;
        put("add_bos_token", Value::Bool(bos));
        put("add_eos_token", Value::Bool(eos));
        Ok(metadata)
    }

    /// Whether a text gets BOS before it, and EOS after it.
    pub(crate) fn adds_bos_and_eos(&self) -> Result<(bool, bool), String> {
        let (before, after) = self.surroundings().map_err(|error| error.to_string())?;
        let is = |ids: Vec<u32>, id: Option<u32>| id.is_some_and(|id| ids == [id]);
        Ok((is(before, self.bos()), is(after, self.eos().first().copied())))
    }

    /// Whether a space is put before a text.
    fn adds_space(&self) -> Result<bool, String> {
        let ids = self.encode("x", false).map_err(|error| error.to_string())?;
        let first = ids.first().and_then(|id| self.id_to_token(*id));
        Ok(first.is_some_and(|token| token.starts_with(SPACE)))
    }

    /// The tokens that are matched as a whole.
    pub(crate) fn added(&self) -> BTreeMap<u32, String> {
        let added = self.inner.model.get_added_tokens_decoder();
        added.into_iter().map(|(id, token)| (id, token.content)).collect()
    }

    fn kind(&self, id: u32, token: &str, added: &BTreeMap<u32, String>, byte_level: bool) -> PieceKind {
        if self.inner.unknown == Some(id) && !byte_level {
            PieceKind::Unknown
        } else if self.is_control(id) {
            PieceKind::Control
        } else if added.contains_key(&id) {
            PieceKind::UserDefined
        } else if !byte_level && super::gguf_vocab::is_byte(token) {
            PieceKind::Byte
        } else {
            PieceKind::Normal
        }
    }

    /// GGUF's name for how the vocabulary cuts a text into words.
    fn pre_tokenizer_name(&self, json: &Json) -> Result<&'static str, String> {
        only(&json["normalizer"], &["NFC"])?; // GGUF has no field for it
        let found = self.inner.model.get_pre_tokenizer().map(words).transpose()?;
        let ignore_merges = json["model"]["ignore_merges"] == true;
        for name in PreTokenizer::WRITTEN {
            let Some(known) = PreTokenizer::named(name).filter(|known| known.ignore_merges == ignore_merges)
            else {
                continue;
            };
            let built = known.build().map_err(|error| error.to_string())?;
            if found.as_ref() == Some(&words(&built)?) {
                return Ok(name);
            }
        }
        Err("its pre-tokenizer is none that a GGUF can name".into())
    }
}

/// The words that a pre-tokenizer makes of the probe.
fn words(pre_tokenizer: &PreTokenizerWrapper) -> Result<Vec<String>, String> {
    let mut text = PreTokenizedString::from(PROBE);
    pre_tokenizer.pre_tokenize(&mut text).map_err(|error| error.to_string())?;
    let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(splits.into_iter().map(|(word, ..)| word.to_string()).collect())
}

/// The score of every token, so that joining the best-scored union first is applying the merges in order.
fn scores(tokens: &BTreeMap<u64, &str>, vocab_size: usize, merges: &[[&str; 2]]) -> Vec<f32> {
    let mut rank: HashMap<String, usize> = HashMap::new();
    for [left, right] in merges {
        let next = rank.len();
        rank.entry(format!("{left}{right}")).or_insert(next);
    }
    let score = |id| tokens.get(&id).and_then(|token| rank.get(*token)).map_or(0.0, |rank| -(*rank as f32));
    (0..vocab_size as u64).map(score).collect()
}

/// The types of a part of tokenizer.json and of the parts that it is a sequence of.
fn types(part: &Json) -> Vec<&str> {
    let mut types = Vec::from_iter(part["type"].as_str());
    for list in ["normalizers", "pretokenizers"] {
        types.extend(part[list].as_array().into_iter().flatten().flat_map(self::types));
    }
    types
}

/// Checks that a part is of none but these types.
fn only(part: &Json, known: &[&str]) -> Result<(), String> {
    match types(part).into_iter().find(|found| !known.contains(found)) {
        Some(other) => Err(format!("its step {other} cannot be written as GGUF")),
        None => Ok(()),
    }
}
