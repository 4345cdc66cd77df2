//! Attention over the paged key/value cache as a backend extension.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, ExtensionType, Scalar, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, FloatDType, Int, Shape, Slice, Tensor, TensorData};

use super::attention::{self, of_tokens};
use crate::span::span;

/// Positions in one block.
pub const BLOCK: usize = 32;

/// Where one step's tokens lie in the cache and what they see.
///
/// Kernels write the rows of different sequences at the same time, so there is none whose sequences share rows of the
/// batch, or places that they write.
#[derive(Debug, Clone)]
pub struct Pages {
    sequences: Vec<PagedSequence>,
    window: Option<usize>,
}

impl Pages {
    /// One entry a sequence of the batch; a token sees `window` positions, itself included, or all before it.
    ///
    /// # Panics
    /// If the sequences' tokens do not cover the batch in order, a sequence has not the blocks of its positions, or a
    /// block is written twice.
    pub fn new(sequences: Vec<PagedSequence>, window: Option<usize>) -> Self {
        let (mut tokens, mut written) = (0, HashSet::new());
        for PagedSequence { start, len, past, blocks } in &sequences {
            assert_eq!(
                *start, tokens,
                "a sequence begins at token {start} of a batch, the last one ended at {tokens}"
            );
            tokens += len;
            let held = past + len;
            assert_eq!(blocks.len(), held.div_ceil(BLOCK), "{} blocks for {held} positions", blocks.len());
            let first = if *len == 0 { blocks.len() } else { past / BLOCK };
            for block in &blocks[first..] {
                assert!(written.insert(*block), "block {block} is written by two parts of a batch");
            }
        }
        Self { sequences, window }
    }

    /// Whole sequences of these lengths, end to end, each with blocks of its own.
    pub fn of_whole(lens: &[usize], window: Option<usize>) -> Self {
        let (mut start, mut blocks) = (0, 0..);
        let sequences = lens.iter().map(|&len| {
            let blocks = blocks.by_ref().take(len.div_ceil(BLOCK)).collect();
            start += len;
            PagedSequence { start: start - len, len, past: 0, blocks }
        });
        Self::new(sequences.collect(), window)
    }

    /// One entry a sequence of the batch; their tokens cover the batch in order.
    pub fn sequences(&self) -> &[PagedSequence] {
        &self.sequences
    }

    /// Positions that a token sees, itself included; all before it if there is none.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// Tokens of the batch.
    pub fn tokens(&self) -> usize {
        self.sequences.last().map_or(0, |last| last.start + last.len)
    }
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

/// [`Pages`] on a device as well, so that no layer of a step sends anything there.
#[derive(Debug, Clone)]
pub(crate) struct StepPages {
    host: Arc<Pages>,
    tokens: Tensor<2, Int>,
    blocks: Tensor<2, Int>,
}

impl StepPages {
    /// The pages of a step, which has a token at least.
    pub fn new(pages: Pages, device: &Device) -> Self {
        let places = pages.sequences.iter().enumerate().flat_map(|(index, sequence)| {
            (sequence.past..sequence.past + sequence.len).flat_map(move |at| [index as i32, at as i32])
        });
        let places: Vec<i32> = places.collect();
        let longest = pages.sequences.iter().map(|sequence| sequence.blocks.len()).max().unwrap_or(0);
        let padded = pages.sequences.iter().flat_map(|sequence| {
            let blocks = sequence.blocks.iter().map(|block| *block as i32);
            blocks.chain(std::iter::repeat(0)).take(longest)
        });
        let padded: Vec<i32> = padded.collect();
        let ints = |values, shape| Tensor::from_data(TensorData::new(values, shape), (device, DType::I32));
        Self {
            tokens: ints(places, [pages.tokens(), 2]),
            blocks: ints(padded, [pages.sequences.len(), longest]),
            host: Arc::new(pages),
        }
    }

    /// Tokens of the batch.
    pub fn count(&self) -> usize {
        self.host.tokens()
    }

    /// The argument of a backend's op.
    pub fn to_dispatch(&self) -> DevicePages<Dispatch> {
        DevicePages {
            host: self.host.clone(),
            tokens: self.tokens.clone().into_dispatch(),
            blocks: self.blocks.clone().into_dispatch(),
        }
    }
}

/// What a backend's op sees of [`StepPages`].
#[derive(Debug, Clone, ExtensionType)]
pub struct DevicePages<B: Backend> {
    /// For kernels that run where the lists are.
    pub host: Arc<Pages>,
    /// Each token's sequence and its position there: `[tokens, 2]`, i32.
    pub tokens: IntTensor<B>,
    /// Each sequence's blocks, padded with 0: `[sequences, most blocks]`, i32.
    pub blocks: IntTensor<B>,
}

/// A layer's cache is `keys [blocks, kv_heads, head_dim, 32]`, transposed so that a kernel's lanes are
/// positions, and `values [blocks, kv_heads, 32, head_dim]`, both f32 or both f16; the rest is f32.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube")
)]
pub trait PagedOps: Backend {
    /// Writes `k`, `v [tokens, kv_heads, head_dim]` to their places; in place where nobody else holds them.
    fn cache_write(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        #[extension_type] pages: DevicePages<Self>,
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
        for chunk in pages.host.sequences() {
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
        #[extension_type] pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        let [_, kv_heads, head_dim, _] = keys.shape().dims();
        let outputs = pages.host.sequences().iter().enumerate().map(|(index, chunk)| {
            let places = chunk.blocks.len() * BLOCK;
            let [row, columns] = [index..index + 1, 0..chunk.blocks.len()]
                .map(|r| Slice::from(r.start as isize..r.end as isize));
            let table = Self::int_slice(pages.blocks.clone(), &[row, columns]);
            let table = Self::int_reshape(table, Shape::new([chunk.blocks.len()]));
            let near = |cached: &FloatTensor<Self>, axes: &[usize; 4]| {
                let blocks = Self::float_select(cached.clone(), 0, table.clone());
                let blocks = Self::float_cast(Self::float_permute(blocks, axes), FloatDType::F32);
                let all = Self::float_reshape(blocks, Shape::new([places, kv_heads, head_dim]));
                // Places that the sequence has not written may hold infinities, which a weight of 0 does not remove.
                of_tokens::<Self>(&all, 0..chunk.past + chunk.len)
            };
            let (k, v) = (near(&keys, &[0, 3, 1, 2]), near(&values, &[0, 2, 1, 3]));
            attention::attention::<Self>(of_tokens::<Self>(&q, chunk.tokens()), k, v, pages.host.window())
        });
        Self::float_cat(outputs.collect(), 0)
    }
}

/// A layer's cache: keys and values.
pub(crate) type LayerCache = (Tensor<4>, Tensor<4>);

/// Writes `k`, `v [tokens, kv_heads, head_dim]` to their places.
///
/// # Panics
/// If they are not those of the pages' tokens and of the cache's heads.
pub(crate) fn write((keys, values): LayerCache, k: Tensor<3>, v: Tensor<3>, pages: &StepPages) -> LayerCache {
    span!("cache_write");
    let [_, kv_heads, head_dim, _] = keys.dims();
    assert_eq!(
        [k.dims(), v.dims()],
        [[pages.count(), kv_heads, head_dim]; 2],
        "keys and values of other tokens"
    );
    let (keys, values) = Dispatch::cache_write(
        keys.into_dispatch(),
        values.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        pages.to_dispatch(),
    );
    (Tensor::from_dispatch(keys), Tensor::from_dispatch(values))
}

/// Attention of every token over the positions it sees: `q [tokens, heads, head_dim]`, in its shape.
///
/// # Panics
/// If `q` is not of the pages' tokens, or its heads do not share the cache's evenly.
pub(crate) fn attention(q: Tensor<3>, (keys, values): &LayerCache, pages: &StepPages) -> Tensor<3> {
    span!("paged_attention");
    let ([tokens, heads, head_dim], [_, kv_heads, cached_dim, _]) = (q.dims(), keys.dims());
    assert_eq!((tokens, head_dim), (pages.count(), cached_dim), "queries of other tokens or heads");
    assert!(heads.is_multiple_of(kv_heads), "{heads} query heads over {kv_heads} key/value heads");
    Tensor::from_dispatch(Dispatch::paged_attention(
        q.into_dispatch(),
        keys.clone().into_dispatch(),
        values.clone().into_dispatch(),
        pages.to_dispatch(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(parts: &[(usize, usize, usize, &[u32])]) -> Pages {
        let part =
            |&(start, len, past, blocks): &_| PagedSequence { start, len, past, blocks: Vec::from(blocks) };
        Pages::new(parts.iter().map(part).collect(), None)
    }

    #[test]
    fn parts_lie_end_to_end_and_may_share_what_they_only_read() {
        // Both begin with block 7; one goes on in block 1, the other in block 2; a third has nothing to compute.
        let pages = pages(&[(0, 3, 32, &[7, 1]), (3, 40, 32, &[7, 2, 3]), (43, 0, 32, &[7])]);
        assert_eq!(pages.tokens(), 43);
        assert_eq!(Pages::of_whole(&[33, 1], None).sequences()[1].blocks, [2]);
    }

    #[test]
    #[should_panic(expected = "a sequence begins at token 2 of a batch, the last one ended at 3")]
    fn parts_that_share_rows_are_refused() {
        pages(&[(0, 3, 0, &[0]), (2, 3, 0, &[1])]);
    }

    #[test]
    #[should_panic(expected = "block 4 is written by two parts of a batch")]
    fn parts_that_write_one_block_are_refused() {
        pages(&[(0, 1, 5, &[4]), (1, 1, 6, &[4])]);
    }

    #[test]
    #[should_panic(expected = "1 blocks for 33 positions")]
    fn a_part_without_the_blocks_of_its_positions_is_refused() {
        pages(&[(0, 1, 32, &[0])]);
    }
}
