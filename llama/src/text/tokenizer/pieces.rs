//! A vocabulary as sentencepiece and GGUF files list it.

use std::collections::{BTreeSet, HashMap};

use tokenizers::models::wordlevel::WordLevel;
use tokenizers::{AddedToken, AddedVocabulary, NormalizerWrapper};

/// What a piece is for. Sentencepiece's `ModelProto.SentencePiece.Type` and GGUF's
/// `tokenizer.ggml.token_type` share these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// Text.
    Normal = 1,
    /// Stands for text that no other piece can write.
    Unknown = 2,
    /// Steers the model and is never part of a text.
    Control = 3,
    /// Text that is always one piece, whatever surrounds it.
    UserDefined = 4,
    /// Never produced.
    Unused = 5,
    /// One byte of a character without a piece of its own, written `<0x0A>`.
    Byte = 6,
}

impl PieceKind {
    /// The kind with this id in files.
    pub(super) fn from_id(id: i32) -> Option<Self> {
        Some(match id {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether encoding a person's text may never give this piece by its spelling.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }
}

/// One entry of a vocabulary; its id is its place in the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

/// Maps every piece to its id.
///
/// # Errors
/// If two pieces are spelled alike, or there are more than ids.
pub(super) fn ids(pieces: &[Piece]) -> Result<HashMap<&str, u32>, String> {
    let mut ids = HashMap::with_capacity(pieces.len());
    for (id, piece) in pieces.iter().enumerate() {
        let id = u32::try_from(id).map_err(|_| "the vocabulary has more than 2^32 pieces".to_string())?;
        if let Some(first) = ids.insert(piece.text.as_str(), id) {
            return Err(format!("the pieces {first} and {id} are both `{}`", piece.text));
        }
    }
    Ok(ids)
}

/// The pieces that stand for no text.
pub(super) fn unused(pieces: &[Piece]) -> BTreeSet<u32> {
    (0u32..).zip(pieces).filter(|(_, piece)| piece.kind == PieceKind::Unused).map(|(id, _)| id).collect()
}

/// The pieces that are matched in a text as a whole: control and user-defined ones.
pub(super) fn added_tokens(pieces: &[Piece]) -> Vec<(u32, AddedToken)> {
    pieces
        .iter()
        .zip(0u32..)
        .filter(|(piece, _)| piece.kind.is_control() || piece.kind == PieceKind::UserDefined)
        .map(|(piece, id)| {
            let control = piece.kind.is_control();
            (id, AddedToken::from(piece.text.clone(), control).normalized(!control))
        })
        .collect()
}

/// A matcher for `tokens` that gives each the id it has here. `AddedVocabulary` asks a model for the
/// ids and would number unknown tokens itself, so a word list of the tokens stands in for the model.
///
/// `normalizer` runs before the `normalized` tokens are looked for.
pub(super) fn added_vocabulary(
    tokens: Vec<(u32, AddedToken)>,
    normalizer: Option<&NormalizerWrapper>,
) -> tokenizers::Result<AddedVocabulary> {
    let ids = tokens.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
    let ids = WordLevel::builder().vocab(ids).build()?;
    let mut vocabulary = AddedVocabulary::new();
    vocabulary.add_tokens(tokens.into_iter().map(|(_, token)| token), &ids, normalizer)?;
    Ok(vocabulary)
}
