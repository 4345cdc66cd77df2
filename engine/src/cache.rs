//! The paged key/value cache: blocks of a fixed number of positions, a block table per sequence.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use crate::ops::paged::{self, BLOCK, LayerCache, PagedChunk, Pages};
use crate::pass::Attend;
use crate::{Batch, EngineError, LlamaConfig};

/// A sequence that lives in a [`KvCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(crate) usize);

/// The numbers that keys and values are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheType {
    /// As they are computed.
    F32,
    /// Rounded to 16 bits: half the memory, and half of what a token of a long context reads.
    F16,
}

/// Keys and values of every layer, in blocks of 32 positions shared by all sequences.
///
/// Methods that take a [`SequenceId`] panic if it was closed or belongs to another cache.
#[derive(Debug)]
pub struct KvCache {
    /// They leave their place while a step writes them, so that the write happens in place.
    layers: Vec<Option<LayerCache>>,
    free: Vec<usize>, // blocks, the lowest last
    sequences: BTreeMap<SequenceId, Sequence>,
    next: usize,
    window: Option<usize>,
}

#[derive(Debug, Default)]
struct Sequence {
    blocks: Vec<usize>,
    len: usize,
}

impl KvCache {
    /// A cache that holds `positions` positions in all, rounded up to whole blocks.
    pub fn new(config: &LlamaConfig, positions: usize, kept: CacheType, device: &Device) -> Self {
        let blocks = positions.div_ceil(BLOCK);
        let (kv_heads, head_dim) = (config.num_key_value_heads, config.head_dim);
        let dtype = match kept {
            CacheType::F32 => DType::F32,
            CacheType::F16 => DType::F16,
        };
        let empty = || {
            let keys = Tensor::zeros([blocks, kv_heads, head_dim, BLOCK], (device, dtype));
            Some((keys, Tensor::zeros([blocks, kv_heads, BLOCK, head_dim], (device, dtype))))
        };
        Self {
            layers: (0..config.num_hidden_layers).map(|_| empty()).collect(),
            free: (0..blocks).rev().collect(),
            sequences: BTreeMap::new(),
            next: 0,
            window: config.sliding_window,
        }
    }

    /// Starts an empty sequence.
    pub fn open(&mut self) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.sequences.insert(id, Sequence::default());
        id
    }

    /// Ends a sequence and frees its blocks; one that is closed already stays so.
    pub fn close(&mut self, sequence: SequenceId) {
        if let Some(sequence) = self.sequences.remove(&sequence) {
            self.release(sequence.blocks);
        }
    }

    /// Positions that `sequence` holds.
    #[allow(clippy::len_without_is_empty)] // a length per sequence, not the cache's
    pub fn len(&self, sequence: SequenceId) -> usize {
        self.sequences[&sequence].len
    }

    /// Positions that can still be written to new blocks, over all sequences.
    pub fn free(&self) -> usize {
        self.free.len() * BLOCK
    }

    /// Positions in one block.
    pub fn block_len(&self) -> usize {
        BLOCK
    }

    /// Forgets the positions of `sequence` from `len` on.
    pub fn truncate(&mut self, sequence: SequenceId, len: usize) {
        let Some(sequence) = self.sequences.get_mut(&sequence) else { return };
        if len < sequence.len {
            sequence.len = len;
            let freed = sequence.blocks.split_off(len.div_ceil(BLOCK));
            self.release(freed);
        }
    }

    fn release(&mut self, blocks: Vec<usize>) {
        self.free.extend(blocks);
        // Low blocks first: memory that was never used stays untouched.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Reserves the places of a batch's tokens, or changes nothing.
    ///
    /// # Errors
    /// [`EngineError::CacheFull`] if there are too few free blocks.
    pub(crate) fn plan(&mut self, batch: &Batch) -> Result<Plan, EngineError> {
        let missing = |cache: &Self, chunk: &crate::batch::Chunk| {
            let sequence = &cache.sequences[&chunk.sequence];
            (sequence.len + chunk.len).div_ceil(BLOCK).saturating_sub(sequence.blocks.len())
        };
        let needed = batch.chunks.iter().map(|chunk| missing(self, chunk)).sum();
        if needed > self.free.len() {
            return Err(EngineError::CacheFull { needed, free: self.free.len() });
        }
        let mut positions = Vec::with_capacity(batch.len());
        let mut chunks = Vec::with_capacity(batch.chunks.len());
        for chunk in &batch.chunks {
            let blocks = missing(self, chunk);
            let taken = self.free.split_off(self.free.len() - blocks);
            let sequence = self.sequences.get_mut(&chunk.sequence).expect("the sequence was read above");
            sequence.blocks.extend(taken.into_iter().rev());
            let past = sequence.len;
            sequence.len += chunk.len;
            positions.extend(past..sequence.len);
            let blocks = sequence.blocks.iter().map(|block| *block as u32).collect();
            chunks.push(PagedChunk { start: chunk.start, len: chunk.len, past, blocks });
        }
        Ok(Plan { positions, pages: Arc::new(Pages { chunks, window: self.window }) })
    }
}

/// Where the tokens of one step go and what they see.
pub(crate) struct Plan {
    /// Position of every token in its sequence.
    pub positions: Vec<usize>,
    pages: Arc<Pages>,
}

/// Attention of a step over the cache.
pub(crate) struct PagedAttention<'a> {
    pub cache: &'a mut KvCache,
    pub plan: &'a Plan,
}

impl Attend for PagedAttention<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let place = &mut self.cache.layers[layer];
        let taken = place.take().expect("a layer's cache is back in its place after every step");
        let written = place.insert(paged::write(taken, k, v, &self.plan.pages));
        paged::attention(q, written, &self.plan.pages) // [tokens, heads, head_dim]
    }
}
