//! Byte-level BPE, GPT-2's: every byte is a letter, so every text can be written without a fallback.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Merges};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::pieces::{Piece, PieceKind, ids};
use super::pre_tokenizer::PreTokenizer;

/// Builds the tokenizer of a byte-level vocabulary and its `merges`, best first, each two tokens with
/// a space between them. Control pieces stay out of the model, so no merge can spell one.
pub(super) fn build(
    pieces: &[Piece],
    merges: &[&str],
    pre_tokenizer: PreTokenizer,
) -> Result<tokenizers::Tokenizer, String> {
    let ids = ids(pieces)?;
    let merges = read_merges(pieces, &ids, merges)?;
    let text = pieces.iter().zip(0u32..).filter(|(piece, _)| !piece.kind.is_control());
    let vocabulary: tokenizers::models::bpe::Vocab =
        text.map(|(piece, id)| (piece.text.clone(), id)).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(pre_tokenizer.ignore_merges)
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer
        .with_pre_tokenizer(Some(pre_tokenizer.build().map_err(|error| error.to_string())?))
        .with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

fn read_merges(pieces: &[Piece], ids: &HashMap<&str, u32>, merges: &[&str]) -> Result<Merges, String> {
    let control = |id: &u32| pieces.get(*id as usize).is_some_and(|piece| piece.kind == PieceKind::Control);
    let mut read = Merges::with_capacity(merges.len());
    for merge in merges {
        // The first token may itself start with a space.
        let space = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ');
        let Some((left, right)) = space.and_then(|(at, _)| Some((merge.get(..at)?, merge.get(at + 1..)?)))
        else {
            return Err(format!("the merge `{merge}` is not two tokens with a space between them"));
        };
        let merged = format!("{left}{right}");
        let mut makes_control = false;
        for token in [left, right, &merged] {
            let id = ids.get(token);
            let id = id.ok_or_else(|| format!("the merge `{merge}` needs `{token}`, which is no token"))?;
            makes_control |= control(id);
        }
        if !makes_control {
            read.push((left.to_string(), right.to_string()));
        }
    }
    Ok(read)
}
