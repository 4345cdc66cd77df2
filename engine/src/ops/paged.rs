//! Attention over the paged key/value cache as a backend extension.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Scalar, TensorMetadata, backend_extension};
use burn::tensor::{FloatDType, Shape, Slice, Tensor, TensorData};

use super::attention::{self, of_tokens};
use crate::span::span;

/// Positions in one block.
pub const BLOCK: usize = 32;

/// Where one step's tokens lie in the cache and what they see.
#[derive(Debug, Clone)]
pub struct Pages {
    /// One entry a sequence of the batch; their tokens cover the batch in order.
    pub sequences: Vec<PagedSequence>,
    /// Positions that a token sees, itself included; all before it if there is none.
    pub window: Option<usize>,
}

/// One sequence's part of a step.
#[derive(Debug, Clone)]
pub struct PagedSequence {
    /// Its first token in the batch.
    pub start: usize,
    /// Its tokens.
    pub len: usize,
    /// Positions that its sequence held before.
    pub past: usize,
    /// The blocks of positions `0 .. past + len`.
    pub blocks: Vec<u32>,
}

impl PagedSequence {
    /// Its rows in the batch.
    pub(crate) fn tokens(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// A layer's cache is `keys [blocks, kv_heads, head_dim, 32]`, transposed so that a kernel's lanes are
/// positions, and `values [blocks, kv_heads, 32, head_dim]`, both f32 or both f16; the rest is f32.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub trait PagedOps: Backend {
    /// Writes `k`, `v [tokens, kv_heads, head_dim]` to their places; in place where nobody else holds them.
    fn cache_write(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: Arc<Pages>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [_, kv_heads, head_dim] = k.shape().dims();
        let all = |len: usize| Slice::from(0..len as isize);
        let dtype = FloatDType::from(keys.dtype());
        // Values beyond f16 become its largest number instead of infinity: an infinity makes NaN of every sum over
        // its block, even where its weight is 0.
        let largest = 65504.0;
        let kept = |x| match dtype {
            FloatDType::F16 => Self::float_clamp(x, Scalar::from(-largest), Scalar::from(largest)),
            _ => x,
        };
        let (k, v) = (Self::float_cast(kept(k), dtype), Self::float_cast(kept(v), dtype));
        let (mut keys, mut values) = (keys, values);
        for chunk in &pages.sequences {
            let mut position = chunk.past;
            while position < chunk.past + chunk.len {
                let (block, place) = (chunk.blocks[position / BLOCK] as isize, position % BLOCK);
                let len = (BLOCK - place).min(chunk.past + chunk.len - position);
                let token = chunk.start + position - chunk.past;
                let rows = |x: &FloatTensor<Self>, axes: &[usize; 3], shape: [usize; 4]| {
                    let tokens = Slice::from(token as isize..(token + len) as isize);
                    let rows = Self::float_slice(x.clone(), &[tokens, all(kv_heads), all(head_dim)]);
                    Self::float_reshape(Self::float_permute(rows, axes), Shape::new(shape))
                };
                let (block, places) =
                    (Slice::from(block..block + 1), Slice::from(place as isize..(place + len) as isize));
                let part = rows(&k, &[1, 2, 0], [1, kv_heads, head_dim, len]);
                keys = Self::float_slice_assign(keys, &[block, all(kv_heads), all(head_dim), places], part);
                let part = rows(&v, &[1, 0, 2], [1, kv_heads, len, head_dim]);
                values =
                    Self::float_slice_assign(values, &[block, all(kv_heads), places, all(head_dim)], part);
                position += len;
            }
        }
        (keys, values)
    }

    /// `softmax(q · kᵀ / sqrt(head_dim)) · v` of every token over the positions it sees:
    /// `q [tokens, heads, head_dim]`, in its shape.
    fn paged_attention(
        q: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        pages: Arc<Pages>,
    ) -> FloatTensor<Self> {
        let [_, kv_heads, head_dim, _] = keys.shape().dims();
        let device = q.device();
        let outputs = pages.sequences.iter().map(|chunk| {
            let places = chunk.blocks.len() * BLOCK;
            let near = |cached: &FloatTensor<Self>, axes: &[usize; 4]| {
                let table: Vec<i32> = chunk.blocks.iter().map(|block| *block as i32).collect();
                let table = Self::int_from_data(TensorData::new(table, [chunk.blocks.len()]), &device);
                let blocks = Self::float_select(cached.clone(), 0, table);
                let blocks = Self::float_cast(Self::float_permute(blocks, axes), FloatDType::F32);
                let all = Self::float_reshape(blocks, Shape::new([places, kv_heads, head_dim]));
                // Places that the sequence has not written may hold infinities, which a weight of 0 does not remove.
                of_tokens::<Self>(&all, 0..chunk.past + chunk.len)
            };
            let (k, v) = (near(&keys, &[0, 3, 1, 2]), near(&values, &[0, 2, 1, 3]));
            attention::attention::<Self>(of_tokens::<Self>(&q, chunk.tokens()), k, v, pages.window)
        });
        Self::float_cat(outputs.collect(), 0)
    }
}

/// A layer's cache: keys and values.
pub(crate) type LayerCache = (Tensor<4>, Tensor<4>);

pub(crate) fn write(
    (keys, values): LayerCache,
    k: Tensor<3>,
    v: Tensor<3>,
    pages: &Arc<Pages>,
) -> LayerCache {
    span!("cache_write");
    let (keys, values) = Dispatch::cache_write(
        keys.into_dispatch(),
        values.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        pages.clone(),
    );
    (Tensor::from_dispatch(keys), Tensor::from_dispatch(values))
}

pub(crate) fn attention(q: Tensor<3>, (keys, values): &LayerCache, pages: &Arc<Pages>) -> Tensor<3> {
    span!("paged_attention");
    Tensor::from_dispatch(Dispatch::paged_attention(
        q.into_dispatch(),
        keys.clone().into_dispatch(),
        values.clone().into_dispatch(),
        pages.clone(),
    ))
}
