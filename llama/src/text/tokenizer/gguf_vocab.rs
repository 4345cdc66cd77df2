//! The vocabulary that a GGUF carries in its `tokenizer.ggml.*` metadata.

use crate::files::gguf::Gguf;

use super::parts::{TokenizerParts, is_control_name};
use super::pieces::{Piece, PieceKind};
use super::pre_tokenizer::PreTokenizer;
use super::sentencepiece::{Algorithm, Prefix, SentencePiece};
use super::{byte_level, pieces};

/// The metadata of the tokenizer. Absent values are `None`, since their defaults depend on the model.
#[derive(Debug, Clone, Default)]
pub(super) struct GgufVocab {
    /// `llama` (sentencepiece) or `gpt2` (byte-level BPE).
    pub(super) model: String,
    pub(super) pre: Option<String>,
    pub(super) tokens: Vec<String>,
    pub(super) scores: Option<Vec<f32>>,
    pub(super) token_types: Option<Vec<i32>>,
    pub(super) merges: Option<Vec<String>>,
    pub(super) bos: Option<u64>,
    pub(super) eos: Option<u64>,
    pub(super) eot: Option<u64>,
    pub(super) eom: Option<u64>,
    pub(super) unknown: Option<u64>,
    pub(super) add_bos: Option<bool>,
    pub(super) add_eos: Option<bool>,
    pub(super) add_space_prefix: Option<bool>,
}

impl GgufVocab {
    /// Takes the metadata out of `gguf`.
    ///
    /// # Errors
    /// If the file has no vocabulary, or a key has the wrong type.
    pub(super) fn read(gguf: &Gguf) -> Result<Self, String> {
        let value = |name: &str| gguf.metadata(&format!("tokenizer.ggml.{name}"));
        let string = |name: &str| {
            let text = value(name).map(|value| value.as_str().map(str::to_string));
            typed(name, "a string", text)
        };
        let strings = |name: &str| {
            let texts = value(name).map(|value| value.as_strings());
            let texts = typed(name, "an array of strings", texts)?;
            Ok::<_, String>(texts.map(|texts| texts.into_iter().map(str::to_string).collect::<Vec<_>>()))
        };
        let id = |name: &str| typed(name, "an id", value(name).map(|value| value.as_u64()));
        let flag = |name: &str| typed(name, "a boolean", value(name).map(|value| value.as_bool()));
        Ok(Self {
            model: string("model")?.ok_or("the file has no tokenizer (`tokenizer.ggml.model`)")?,
            pre: string("pre")?,
            tokens: strings("tokens")?.ok_or("the file has no vocabulary (`tokenizer.ggml.tokens`)")?,
            scores: typed("scores", "an array of numbers", value("scores").map(|value| value.as_f32s()))?,
            token_types: typed(
                "token_type",
                "an array of integers",
                value("token_type").map(|value| value.as_i32s()),
            )?,
            merges: strings("merges")?,
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            eom: id("eom_token_id")?,
            unknown: id("unknown_token_id")?,
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
        })
    }

    /// Builds the tokenizer.
    pub(super) fn build(self) -> Result<TokenizerParts, String> {
        match self.model.as_str() {
            "llama" => self.sentencepiece(),
            "gpt2" => self.byte_level(),
            other => Err(format!("the tokenizer model is `{other}`; `llama` and `gpt2` are supported")),
        }
    }

    fn sentencepiece(self) -> Result<TokenizerParts, String> {
        // llama.cpp's ids where a file names none: those of every Llama sentencepiece model.
        let bos = self.id("bos_token_id", self.bos.or(Some(1)));
        let eos = self.id("eos_token_id", self.eos.or(Some(2)));
        let unknown = self.id("unknown_token_id", self.unknown.or(Some(0)));
        let warnings = [&bos, &eos, &unknown].into_iter().filter_map(|id| id.clone().err()).collect();
        let (bos, eos) = (bos.ok().flatten(), eos.ok().flatten());
        let (add_bos, add_eos) = (self.add_bos.unwrap_or(true), self.add_eos.unwrap_or(false));
        let scores = self.scores.as_ref().ok_or("`tokenizer.ggml.scores` is missing")?;
        let model = SentencePiece {
            pieces: self.pieces(scores, unknown.ok().flatten(), [bos, eos])?,
            algorithm: Algorithm::Bpe,
            dummy_prefix: self.add_space_prefix.unwrap_or(true),
            prefix: Prefix::Segments,
            remove_extra_whitespaces: false,
            escape_whitespaces: true,
            charsmap: Vec::new(),
            bos,
            eos,
        };
        let mut parts = TokenizerParts::sentencepiece(&model)?;
        parts.end_of_generation(self.more_ends());
        parts.warnings = warnings;
        parts.surround(add_bos, add_eos)?;
        Ok(parts)
    }

    fn byte_level(self) -> Result<TokenizerParts, String> {
        let mut warnings = Vec::new();
        let pre_tokenizer = match self.pre.as_deref() {
            Some(name) => PreTokenizer::named(name).ok_or_else(|| {
                format!(
                    "the pre-tokenizer `{name}` (`tokenizer.ggml.pre`) is not known here: the model's own \
                     tokenizer.json, put beside its weights, can be used instead"
                )
            })?,
            None => {
                warnings.push(
                    "the file names no pre-tokenizer (`tokenizer.ggml.pre`), so the text may be cut \
                     otherwise than the model was trained with; convert the model anew"
                        .to_string(),
                );
                PreTokenizer::DEFAULT
            }
        };
        let mut id = |name, id| {
            self.id(name, id).unwrap_or_else(|warning| {
                warnings.push(warning);
                None
            })
        };
        let (bos, eos) = (id("bos_token_id", self.bos), id("eos_token_id", self.eos));
        let pieces = self.pieces(&[], None, [bos, eos])?;
        let merges = self.merges.as_ref().ok_or("`tokenizer.ggml.merges` is missing")?;
        let merges: Vec<&str> = merges.iter().map(String::as_str).collect();
        let mut parts = TokenizerParts {
            model: byte_level::build(&pieces, &merges, pre_tokenizer)?,
            added: pieces::added_tokens(&pieces),
            piece_normalizer: None,
            bos,
            eos: eos.into_iter().collect(),
            unknown: None,
            unused: pieces::unused(&pieces),
            warnings,
        };
        parts.end_of_generation(self.more_ends());
        let add_bos = self.add_bos.unwrap_or(pre_tokenizer.add_bos && bos.is_some());
        parts.surround(add_bos, self.add_eos.unwrap_or(false))?;
        Ok(parts)
    }

    /// The vocabulary with the kind of each token. `scores` may be empty.
    fn pieces(
        &self,
        scores: &[f32],
        unknown: Option<u32>,
        control: [Option<u32>; 2],
    ) -> Result<Vec<Piece>, String> {
        let count = self.tokens.len();
        let short = |name: &str, len: usize| {
            format!("`tokenizer.ggml.{name}` has {len} entries for a vocabulary of {count}")
        };
        if !scores.is_empty() && scores.len() < count {
            return Err(short("scores", scores.len()));
        }
        let types = self.token_types.as_deref().unwrap_or_default();
        if !types.is_empty() && types.len() < count {
            return Err(short("token_type", types.len()));
        }
        let kind = |id: u32, text: &str| {
            let written = types.get(id as usize).and_then(|kind| PieceKind::from_id(*kind));
            match written {
                _ if is_control_name(text) => PieceKind::Control,
                Some(kind) if kind != PieceKind::Normal => kind,
                _ if unknown == Some(id) => PieceKind::Unknown,
                _ if control.contains(&Some(id)) => PieceKind::Control,
                None if is_byte(text) => PieceKind::Byte,
                _ => PieceKind::Normal,
            }
        };
        let pieces = self.tokens.iter().zip(0u32..).map(|(text, id)| Piece {
            // As llama.cpp does: an empty token cannot be told from another one.
            text: if text.is_empty() { format!("[EMPTY_{id}]") } else { text.clone() },
            score: scores.get(id as usize).copied().unwrap_or(0.0),
            kind: if text.is_empty() { PieceKind::Unused } else { kind(id, text) },
        });
        Ok(pieces.collect())
    }

    /// `id` as a token's id, or a warning where the vocabulary has no such token.
    fn id(&self, name: &str, id: Option<u64>) -> Result<Option<u32>, String> {
        let count = self.tokens.len();
        match id {
            Some(id) if id >= count as u64 => {
                Err(format!("`tokenizer.ggml.{name}` {id} is ignored: the vocabulary has {count} tokens"))
            }
            Some(id) => Ok(u32::try_from(id).ok()),
            None => Ok(None),
        }
    }

    /// The ends of a turn and of a message, where the file has them.
    fn more_ends(&self) -> impl Iterator<Item = u32> {
        let known = |name, id| self.id(name, id).ok().flatten();
        [known("eot_token_id", self.eot), known("eom_token_id", self.eom)].into_iter().flatten()
    }
}

/// Whether a token is spelled like a byte, `<0x0A>`.
pub(super) fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A key's value, or an error if it is there but is not `expected`.
fn typed<T>(name: &str, expected: &str, value: Option<Option<T>>) -> Result<Option<T>, String> {
    match value {
        Some(None) => Err(format!("`tokenizer.ggml.{name}` is not {expected}")),
        value => Ok(value.flatten()),
    }
}
