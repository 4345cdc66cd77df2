//! Sentencepiece vocabularies: a `tokenizer.model`, or the same lists inside a GGUF.
//!
//! BPE models carry scores instead of merges: of all neighbours whose union is a piece, the union with
//! the best score is made first. A list of all ways to join two pieces into a third, sorted by that
//! score, makes the `tokenizers` crate do the same.

use std::path::Path;

use sentencepiece_model::{ModelType, SentencePieceModel};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::utils::Sequence as Normalizers;
use tokenizers::normalizers::{Precompiled, Prepend};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{ModelWrapper, NormalizerWrapper};

use super::charsmap;
use super::pieces::{Piece, PieceKind, ids};

/// How sentencepiece writes a space, so that a space can be part of a piece.
pub(super) const SPACE: &str = "\u{2581}";

/// A sentencepiece model: its pieces and what happens to a text before they are looked for.
#[derive(Debug, Clone)]
pub(super) struct SentencePiece {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    /// A space is put before the text, so that a word is spelled alike at its start and within it.
    pub(super) dummy_prefix: bool,
    /// Where that space is put.
    pub(super) prefix: Prefix,
    /// Spaces at both ends are removed, and runs of spaces become one.
    pub(super) remove_extra_whitespaces: bool,
    /// Spaces are written as U+2581.
    pub(super) escape_whitespaces: bool,
    /// Character replacements, such as NFKC, compiled by sentencepiece; empty for none.
    pub(super) charsmap: Vec<u8>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
}

/// Where a space is put that the text does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Every part of a text between special tokens, as in llama.cpp and in transformers' `legacy` form.
    Segments,
    /// A text that does not begin with a special token.
    Text,
}

/// How pieces are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Joining neighbours, the best-scored union first (Llama, Mistral).
    Bpe,
    /// The sequence of pieces with the best sum of scores.
    Unigram,
}

impl SentencePiece {
    /// Reads a `tokenizer.model`.
    ///
    /// # Errors
    /// The reason, without the file's name.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let model = SentencePieceModel::from_slice(bytes)
            .map_err(|error| format!("is no sentencepiece model: {error}"))?;
        Self::from_proto(&model)
    }

    fn from_proto(model: &SentencePieceModel) -> Result<Self, String> {
        if model.pieces().is_empty() {
            return Err("is no sentencepiece model: it has no pieces".into());
        }
        let trainer = model.trainer().cloned().unwrap_or_default();
        let normalizer = model.normalizer().cloned().unwrap_or_default();
        if trainer.treat_whitespace_as_suffix() {
            return Err("`treat_whitespace_as_suffix` is set, which is not supported".into());
        }
        let algorithm = match trainer.model_type() {
            ModelType::Bpe => Algorithm::Bpe,
            ModelType::Unigram => Algorithm::Unigram,
            other => return Err(format!("`model_type` is {other:?}; BPE and unigram are supported")),
        };
        let pieces = model.pieces().iter().map(|piece| Piece {
            text: piece.piece().to_string(),
            score: piece.score(),
            kind: PieceKind::from_id(piece.r#type() as i32).unwrap_or(PieceKind::Normal),
        });
        let pieces: Vec<Piece> = pieces.collect();
        // Sentencepiece writes -1 where a model has no such piece.
        let id = |id: i32| u32::try_from(id).ok().filter(|id| (*id as usize) < pieces.len());
        Ok(Self {
            algorithm,
            dummy_prefix: normalizer.add_dummy_prefix(),
            prefix: Prefix::Segments,
            remove_extra_whitespaces: normalizer.remove_extra_whitespaces(),
            escape_whitespaces: normalizer.escape_whitespaces(),
            charsmap: normalizer.precompiled_charsmap().to_vec(),
            bos: id(trainer.bos_id()),
            eos: id(trainer.eos_id()),
            pieces,
        })
    }

    /// Builds the tokenizer, without the tokens that are matched as a whole.
    pub(super) fn build(&self) -> Result<tokenizers::Tokenizer, String> {
        let model = match self.algorithm {
            Algorithm::Bpe => self.bpe()?,
            Algorithm::Unigram => self.unigram()?,
        };
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_normalizer(Some(self.normalizer()?)).map_err(|error| error.to_string())?;
        tokenizer.with_decoder(Some(self.decoder()?));
        if self.prefixes_text_only() {
            if !self.escape_whitespaces {
                return Err("`legacy` is false, which needs `escape_whitespaces`".into());
            }
            let spaces = Metaspace::new('\u{2581}', PrependScheme::First, false);
            tokenizer.with_pre_tokenizer(Some(spaces));
        }
        Ok(tokenizer)
    }

    /// What a user-defined piece is turned into before it is looked for: it is part of the text, but
    /// gets no prefix of its own.
    pub(super) fn piece_normalizer(&self) -> Result<Option<NormalizerWrapper>, String> {
        self.escape_whitespaces.then(|| replace(" ".into(), SPACE)).transpose()
    }

    fn bpe(&self) -> Result<ModelWrapper, String> {
        let ids = ids(&self.pieces)?;
        // Control and user-defined pieces are no part of a word; sentencepiece keeps them apart too.
        let in_words = |kind| {
            matches!(kind, PieceKind::Normal | PieceKind::Byte | PieceKind::Unknown | PieceKind::Unused)
        };
        let vocabulary: Vocab = self
            .pieces
            .iter()
            .zip(0u32..)
            .filter(|(piece, _)| in_words(piece.kind))
            .map(|(piece, id)| (piece.text.clone(), id))
            .collect();
        let is_text = |text: &str| {
            let piece = ids.get(text).and_then(|id| self.pieces.get(*id as usize));
            piece.is_some_and(|piece| piece.kind == PieceKind::Normal)
        };
        let mut best_first: Vec<&Piece> =
            self.pieces.iter().filter(|piece| piece.kind == PieceKind::Normal).collect();
        best_first.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut merges = Merges::new();
        for piece in best_first {
            for (at, _) in piece.text.char_indices().skip(1) {
                let (left, right) = piece.text.split_at(at);
                if is_text(left) && is_text(right) {
                    merges.push((left.to_string(), right.to_string()));
                }
            }
        }
        let mut bpe = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .fuse_unk(true)
            .byte_fallback(self.has_bytes());
        if let Some(unknown) = self.pieces.iter().find(|piece| piece.kind == PieceKind::Unknown) {
            bpe = bpe.unk_token(unknown.text.clone());
        }
        Ok(bpe.build().map_err(|error| error.to_string())?.into())
    }

    fn unigram(&self) -> Result<ModelWrapper, String> {
        let unknown = self.pieces.iter().position(|piece| piece.kind == PieceKind::Unknown);
        let unknown = unknown.ok_or("the unigram model has no unknown piece")?;
        if !self.escape_whitespaces {
            return Err("`escape_whitespaces` is off, which is not supported for unigram models".into());
        }
        let vocabulary = self.pieces.iter().enumerate().map(|(id, piece)| match piece.kind {
            PieceKind::Normal | PieceKind::Byte => (piece.text.clone(), f64::from(piece.score)),
            PieceKind::Unknown | PieceKind::Control | PieceKind::UserDefined | PieceKind::Unused => {
                (unspellable(id), 0.0)
            }
        });
        let model = Unigram::from(vocabulary.collect(), Some(unknown), self.has_bytes());
        Ok(model.map_err(|error| error.to_string())?.into())
    }

    fn has_bytes(&self) -> bool {
        self.pieces.iter().any(|piece| piece.kind == PieceKind::Byte)
    }

    /// Whether a space goes before the text alone: normalizers see parts of a text, only a pre-tokenizer is told
    /// which one is the first.
    fn prefixes_text_only(&self) -> bool {
        self.dummy_prefix && self.prefix == Prefix::Text
    }

    fn normalizer(&self) -> Result<NormalizerWrapper, String> {
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if !self.charsmap.is_empty() {
            charsmap::validate(&self.charsmap)?;
            let map = Precompiled::from(&self.charsmap);
            steps.push(map.map_err(|error| format!("`precompiled_charsmap`: {error}"))?.into());
        }
        if self.remove_extra_whitespaces {
            steps.push(replace(ReplacePattern::Regex("^ +| +$".into()), "")?);
            steps.push(replace(ReplacePattern::Regex(" {2,}".into()), " ")?);
        }
        if self.dummy_prefix && !self.prefixes_text_only() {
            steps.push(Prepend::new(" ".into()).into());
        }
        if self.escape_whitespaces {
            steps.push(replace(" ".into(), SPACE)?);
        }
        Ok(Normalizers::new(steps).into())
    }

    fn decoder(&self) -> Result<DecoderWrapper, String> {
        let mut steps: Vec<DecoderWrapper> = Vec::new();
        if self.escape_whitespaces {
            steps.push(Replace::new(SPACE, " ").map_err(|error| error.to_string())?.into());
        }
        steps.push(ByteFallback::new().into());
        steps.push(Fuse::new().into());
        if self.dummy_prefix {
            steps.push(Strip::new(' ', 1, 0).into());
        }
        Ok(Decoders::new(steps).into())
    }
}

fn replace(pattern: ReplacePattern, content: &str) -> Result<NormalizerWrapper, String> {
    Ok(Replace::new(pattern, content).map_err(|error| error.to_string())?.into())
}

/// A name for a unigram piece that no text can contain: by the time pieces are looked for, spaces are
/// U+2581. A unigram model lists its pieces by id, so none can be left out.
pub(super) fn unspellable(id: usize) -> String {
    format!(" {id}")
}
