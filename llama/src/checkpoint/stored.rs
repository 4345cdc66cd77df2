//! A tensor as its file stores it.

use std::borrow::Cow;
use std::ops::Deref;

use engine::LlamaConfig;
use engine::quant::{self, Nf4};

use super::names::gguf_name;
use super::{Checkpoint, Tensors, nf4, permutation};
use crate::LlamaError;
use crate::gguf::{Gguf, Storage};
use crate::mapped::Pages;

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
    Mapped(Pages<'a>),
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

    /// The numbers that it stands for.
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
    /// The tensor `name`, which must have this shape. All that is done with a model's weights begins here.
    ///
    /// # Errors
    /// If it is missing, or has another shape, or a type that cannot be loaded, or holds what is no finite number:
    /// that spoils all that a model says, or is quantized away and goes unnoticed.
    pub(crate) fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LlamaError> {
        let stored = self.found(name, shape)?;
        match stored.is_finite() {
            true => Ok(stored),
            false => Err(LlamaError::tensor(self.path(), name, "holds values that are not finite")),
        }
    }

    fn found(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, LlamaError> {
        match &self.tensors {
            Tensors::Gguf(gguf) => stored_in_gguf(gguf, name, shape, &self.config),
            Tensors::Safetensors(file) => match (shape, nf4::is_stored(file, name)) {
                (&[rows, cols], true) => Ok(Stored::Nf4(nf4::read(file, name, [rows, cols])?)),
                _ => {
                    let (float, pages) = file.floats(name, shape)?;
                    Ok(Stored::Plain(Storage::Float(float), Bytes::Mapped(pages)))
                }
            },
        }
    }
}

fn stored_in_gguf<'a>(
    gguf: &'a Gguf,
    name: &str,
    shape: &[usize],
    config: &LlamaConfig,
) -> Result<Stored<'a>, LlamaError> {
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
    let pages = gguf.pages(info)?;
    let bytes = match is_rotary(name) {
        true => Bytes::Reordered(permutation::undo(&pages, shape[0], config.head_dim)),
        false => Bytes::Mapped(pages),
    };
    Ok(Stored::Plain(storage, bytes))
}

/// The rows of a matrix in the order in which GGUF stores them.
pub(crate) fn gguf_order<'a>(
    bytes: &'a [u8],
    name: &str,
    rows: usize,
    config: &LlamaConfig,
) -> Cow<'a, [u8]> {
    match is_rotary(name) {
        true => permutation::apply(bytes, rows, config.head_dim).into(),
        false => bytes.into(),
    }
}

/// Whether rotary embeddings turn what a projection puts out, so that GGUF has its rows in another order.
fn is_rotary(name: &str) -> bool {
    [".q_proj.weight", ".k_proj.weight"].iter().any(|suffix| name.ends_with(suffix))
}
