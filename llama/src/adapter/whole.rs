//! Whole matrices of the base that PEFT saves in an adapter's file: the embedding table and the output head, where it
//! takes the vocabulary for resized, or where `modules_to_save` names them.
//!
//! The engine's adapters change projections only. So a copy that equals the base's is left out, and one that was
//! trained is refused.

use std::path::Path;

use crate::error::LlamaError;
use crate::files::gguf::Storage;
use crate::files::safetensors::Safetensors;
use crate::model::checkpoint::stored::Stored;
use crate::model::checkpoint::{Checkpoint, names};

const TABLE: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// Numbers that are compared at a time.
const CHUNK: usize = 1 << 16;

/// The matrix of the base that `name` is a copy of: PEFT's wrappers stand in the name.
pub(super) fn copied(name: &str) -> Option<&'static str> {
    let plain = name.replace(".base_layer", "").replace(".modules_to_save", "").replace(".default", "");
    [TABLE, HEAD].into_iter().find(|known| *known == plain)
}

/// Whether `modules_to_save` may name the module: its weights are then compared with the base's.
pub(super) fn is_comparable(module: &str) -> bool {
    [TABLE, HEAD]
        .iter()
        .filter_map(|name| name.strip_suffix(".weight"))
        .any(|known| known.strip_suffix(module).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Checks that the tensor `key` of an adapter's file, a copy of the base's `name`, equals it.
pub(super) fn check(
    file: &Safetensors,
    key: &str,
    name: &str,
    base: Option<&Path>,
) -> Result<(), LlamaError> {
    let refused = |reason: String| LlamaError::tensor(file.path(), key, reason);
    let Some(base) = base else {
        return Err(refused("is a whole matrix of the base model, which is not known here".into()));
    };
    let checkpoint = Checkpoint::open(base)?;
    // A tied head is the table.
    let known = |name: &str| names::tensors(checkpoint.config()).find(|(known, _)| known == name);
    let Some((name, shape)) = known(name).or_else(|| known(TABLE)) else {
        return Err(refused(format!("is a matrix that the base {} does not have", base.display())));
    };
    let found = file.shape(key).unwrap_or_default();
    if found != shape {
        return Err(refused(format!(
            "has the shape {found:?}, and the base's `{name}` {shape:?}: it was trained with another vocabulary, which is \
             not supported; merge the adapter into its base with Python's peft and use the merged model"
        )));
    }
    let (ours, copy) = file.floats(key, &shape)?;
    let Stored::Plain(Storage::Float(theirs), original) = checkpoint.stored(&name, &shape)? else {
        return Err(refused(format!(
            "is a whole matrix and cannot be compared with the base's `{name}`, which is quantized; use the base in 16 or \
             32 bits, or save the adapter with save_embedding_layers=False"
        )));
    };
    // The copy may have been rounded to a shorter type when it was saved, or widened.
    let chunks = copy.chunks(CHUNK * ours.bytes()).zip(original.chunks(CHUNK * theirs.bytes()));
    let same = |(copy, original): (&[u8], &[u8])| {
        let rounded = ours.decode(&ours.encode(&theirs.decode(original)));
        ours.decode(copy) == rounded
    };
    if !chunks.into_iter().all(same) {
        return Err(refused(format!(
            "differs from the base's `{name}`: it was trained whole (modules_to_save), which is not supported; merge the \
             adapter into its base with Python's peft and use the merged model"
        )));
    }
    Ok(())
}
