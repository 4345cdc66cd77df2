//! A tensor as its file stores it.

use std::borrow::Cow;
use std::ops::Deref;

use engine::quant::{self, Nf4};

use super::names::gguf_name;
use super::{Checkpoint, Tensors, nf4, permutation};
use crate::error::LlamaError;
use crate::files::gguf::{Gguf, Storage, TensorInfo};
use crate::files::mapped_file::MappedPages;
use crate::files::safetensors::Safetensors;

const TABLE: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// A tensor as its file stores it, its rows in Hugging Face's order.
#[derive(Debug)]
pub(crate) enum Stored<'a> {
    /// Numbers or blocks, row after row.
    Plain(Storage, Bytes<'a>),
    /// 4-bit NormalFloat.
    Nf4(Nf4),
}

/// A tensor's bytes: the file's own, which are given back when dropped, or a copy in another order.
#[derive(Debug)]
pub(crate) enum Bytes<'a> {
    Mapped(MappedPages<'a>),
    Reordered(Vec<u8>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(pages) => pages,
            Bytes::Reordered(bytes) => bytes,
        }
    }
}

impl Stored<'_> {
    /// Whether every number is finite: of blocks, every scale and minimum.
    pub fn is_finite(&self) -> bool {
        match self {
            Stored::Plain(Storage::Float(float), bytes) => float.is_finite(bytes),
            Stored::Plain(Storage::Blocks(format), bytes) => quant::has_finite_scales(*format, bytes),
            Stored::Nf4(nf4) => {
                nf4.offset().is_finite() && nf4.absmax2().iter().all(|scale| scale.is_finite())
            }
        }
    }

    /// The tensor's numbers as f32.
    ///
    /// # Errors
    /// If its length is no whole number of blocks.
    pub fn values(&self) -> Result<Vec<f32>, LlamaError> {
        Ok(match self {
            Stored::Plain(Storage::Float(float), bytes) => float.decode(bytes),
            Stored::Plain(Storage::Blocks(format), bytes) => quant::dequantize(*format, bytes)?,
            Stored::Nf4(nf4) => nf4.dequantize(),
        })
    }
}

impl Checkpoint {
    /// The tensor `name`, which must have this shape. Everything that reads a model's weights calls this.
    ///
    /// # Errors
    /// If it is missing, or has another shape, or a type that cannot be loaded, or holds a number that is not
    /// finite: it would spoil every output of the model, or be hidden by quantization.
    pub(crate) fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LlamaError> {
        let stored = self.found(name, shape)?;
        match stored.is_finite() {
            true => Ok(stored),
            false => Err(LlamaError::tensor(self.path(), name, "holds values that are not finite")),
        }
    }

    /// Where a tensor is stored: a table that is the head as well may be stored as the head alone.
    fn place<'n>(&self, file: &Safetensors, name: &'n str) -> &'n str {
        let is_table = name == TABLE;
        match is_table && self.config.tie_word_embeddings && !file.contains(name) && file.contains(HEAD) {
            true => HEAD,
            false => name,
        }
    }

    /// Checks that a head which is stored beside the table it is tied to is that table: programs differ in which of
    /// the two they would take.
    fn check_tied(&self, file: &Safetensors, name: &str, shape: &[usize]) -> Result<(), LlamaError> {
        if name != TABLE || !self.config.tie_word_embeddings || !file.contains(TABLE) || !file.contains(HEAD)
        {
            return Ok(());
        }
        let ((ours, table), (theirs, head)) = (file.floats(TABLE, shape)?, file.floats(HEAD, shape)?);
        let same = match ours == theirs {
            true => *table == *head,
            false => ours.decode(&table) == theirs.decode(&head),
        };
        match same {
            true => Ok(()),
            false => Err(LlamaError::tensor(
                file.path(),
                HEAD,
                "differs from the embedding table, though `tie_word_embeddings` says that they are one; set it to false \
                 in config.json if the head was trained, or remove the tensor",
            )),
        }
    }

    fn found(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LlamaError> {
        match &self.tensors {
            Tensors::Gguf(gguf) => self.stored_in_gguf(gguf, name, shape),
            Tensors::Safetensors(file) => {
                self.check_tied(file, name, shape)?;
                let name = self.place(file, name);
                match (shape, nf4::is_stored(file, name)) {
                    (&[rows, cols], true) => Ok(Stored::Nf4(nf4::read(file, name, [rows, cols])?)),
                    _ => {
                        let (float, pages) = file.floats(name, shape)?;
                        Ok(Stored::Plain(Storage::Float(float), Bytes::Mapped(pages)))
                    }
                }
            }
        }
    }

    fn stored_in_gguf<'a>(
        &self,
        gguf: &'a Gguf,
        name: &str,
        shape: &[usize],
    ) -> Result<Stored<'a>, LlamaError> {
        let (info, storage) = found_in_gguf(gguf, name, shape)?;
        let pages = gguf.pages(info)?;
        let bytes = match self.architecture.is_interleaved_in_gguf() && is_rotary(name) {
            true => Bytes::Reordered(
                permutation::undo(&pages, shape[0], self.config.head_dim)
                    .map_err(|reason| LlamaError::tensor(gguf.path(), name, reason))?,
            ),
            false => Bytes::Mapped(pages),
        };
        Ok(Stored::Plain(storage, bytes))
    }

    /// Rows in Hugging Face's order as GGUF files of this architecture store them.
    ///
    /// # Errors
    /// If they are no whole heads.
    pub(crate) fn gguf_order<'a>(
        &self,
        bytes: &'a [u8],
        name: &str,
        rows: usize,
    ) -> Result<Cow<'a, [u8]>, LlamaError> {
        if !(self.architecture.is_interleaved_in_gguf() && is_rotary(name)) {
            return Ok(bytes.into());
        }
        let reordered = permutation::apply(bytes, rows, self.config.head_dim);
        Ok(reordered.map_err(|reason| LlamaError::tensor(self.path(), name, reason))?.into())
    }

    /// Checks that the tensor `name` is there with this shape, without reading it.
    pub(super) fn check_stored(&self, name: &str, shape: &[usize]) -> Result<(), LlamaError> {
        match &self.tensors {
            Tensors::Gguf(gguf) => found_in_gguf(gguf, name, shape).map(|_| ()),
            Tensors::Safetensors(file) => {
                let name = self.place(file, name);
                match (shape, nf4::is_stored(file, name)) {
                    (&[rows, cols], true) => nf4::check(file, name, [rows, cols]),
                    _ => file.floats(name, shape).map(|_| ()),
                }
            }
        }
    }
}

/// A tensor of a GGUF by Hugging Face's name, and how its numbers are stored.
fn found_in_gguf<'a>(
    gguf: &'a Gguf,
    name: &str,
    shape: &[usize],
) -> Result<(&'a TensorInfo, Storage), LlamaError> {
    let missing = |name: &str| LlamaError::tensor(gguf.path(), name, "is missing");
    let gguf_name = gguf_name(name).ok_or_else(|| missing(name))?;
    let info = gguf.tensor(&gguf_name).ok_or_else(|| missing(&gguf_name))?;
    let error = |reason| LlamaError::tensor(gguf.path(), &gguf_name, reason);
    if !info.dimensions().iter().eq(shape.iter().rev()) {
        let found: Vec<usize> = info.dimensions().iter().rev().copied().collect();
        return Err(error(format!("has the shape {found:?}, expected {shape:?}")));
    }
    let tensor_type = info.tensor_type();
    let storage = tensor_type
        .storage()
        .ok_or_else(|| error(format!("has the type {}, which cannot be loaded", tensor_type.name())))?;
    Ok((info, storage))
}

/// Whether rotary embeddings turn what a projection puts out, so that GGUF may have its rows in another
/// order.
fn is_rotary(name: &str) -> bool {
    let module = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias"));
    module.is_some_and(|module| module.ends_with(".q_proj") || module.ends_with(".k_proj"))
}
