//! The paged key/value cache: blocks of a fixed number of positions, a block table per sequence.

use burn::tensor::{DType, Device, Tensor};

use super::batch::Batch;
use super::ledger::{Ledger, SequenceId};
use crate::adapter::AdapterId;
use crate::backend;
use crate::config::LlamaConfig;
use crate::error::EngineError;
use crate::ops::paged::{BLOCK, LayerCache, Pages, StepPages};

/// The numbers that keys and values are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheType {
    /// As they are computed.
    F32,
    /// Rounded to 16 bits: half the memory, and half of what a token of a long context reads.
    F16,
}

impl CacheType {
    /// Whether the device's backend has tensors of these numbers.
    pub fn is_supported(self, device: &Device) -> bool {
        device.supports_dtype(self.dtype())
    }

    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// Keys and values of every layer, in blocks of 32 positions shared by all sequences.
///
/// Full blocks stay when their sequence is closed, until their room is needed: a sequence that begins with the same
/// tokens under the same adapter finds them again ([`KvCache::open_with`]).
///
/// Methods that take a [`SequenceId`] panic if it was closed or belongs to another cache.
#[derive(Debug)]
pub struct KvCache {
    /// They leave their place while a step writes them, so that the write happens in place.
    layers: Vec<Option<LayerCache>>,
    ledger: Ledger,
    window: Option<usize>,
    shape: MemoryShape,
}

/// The shape and type of a layer's keys and values.
#[derive(Debug, Clone)]
struct MemoryShape {
    blocks: usize,
    kv_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
}

impl MemoryShape {
    fn zeros(&self) -> LayerCache {
        let Self { blocks, kv_heads, head_dim, dtype, ref device } = *self;
        let keys = Tensor::zeros([blocks, kv_heads, head_dim, BLOCK], (device, dtype));
        (keys, Tensor::zeros([blocks, kv_heads, BLOCK, head_dim], (device, dtype)))
    }
}

impl KvCache {
    /// The most positions that a cache on the device can hold, as the keys of a layer are one tensor; `None` if there is
    /// no such limit.
    pub fn most_positions(config: &LlamaConfig, kept: CacheType, device: &Device) -> Option<usize> {
        let block = BLOCK * config.num_key_value_heads * config.head_dim * kept.dtype().size();
        let blocks = backend::largest_tensor(device)? / block as u64;
        Some(usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK))
    }

    /// A cache that holds `positions` positions in all, rounded up to whole blocks.
    ///
    /// # Panics
    /// If `kept` is not [supported](CacheType::is_supported) by the device.
    pub fn new(config: &LlamaConfig, positions: usize, kept: CacheType, device: &Device) -> Self {
        assert!(kept.is_supported(device), "{device:?} has no numbers for a cache of {kept:?}");
        let shape = MemoryShape {
            blocks: positions.div_ceil(BLOCK),
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            dtype: kept.dtype(),
            device: device.clone(),
        };
        Self {
            layers: (0..config.num_hidden_layers).map(|_| Some(shape.zeros())).collect(),
            ledger: Ledger::new(shape.blocks),
            window: config.sliding_window,
            shape,
        }
    }

    /// Starts an empty sequence under an adapter of the model, or under none.
    pub fn open(&mut self, adapter: Option<AdapterId>) -> SequenceId {
        self.open_with(adapter, &[])
    }

    /// Starts a sequence that is to begin with `tokens`. It already holds the positions of as many of them as other
    /// sequences have computed, in whole blocks: [`KvCache::len`] says how many need not be computed again. At least
    /// one token is left.
    pub fn open_with(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> SequenceId {
        self.ledger.open(adapter, tokens)
    }

    /// Ends a sequence; one that is closed already stays so.
    pub fn close(&mut self, sequence: SequenceId) {
        self.ledger.close(sequence);
    }

    /// Ends all sequences and forgets everything: what remains possible when a step has panicked.
    pub fn reset(&mut self) {
        self.ledger.clear();
        for layer in &mut self.layers {
            layer.get_or_insert_with(|| self.shape.zeros());
        }
    }

    /// Positions that `sequence` holds.
    #[allow(clippy::len_without_is_empty)] // a length per sequence, not the cache's
    pub fn len(&self, sequence: SequenceId) -> usize {
        self.ledger.len(sequence)
    }

    /// Positions that can still be written to new blocks, over all sequences.
    pub fn free(&self) -> usize {
        self.ledger.available() * BLOCK
    }

    /// Positions in one block.
    pub fn block_len(&self) -> usize {
        BLOCK
    }

    /// Forgets the positions of `sequence` from `len` on.
    ///
    /// # Errors
    /// [`EngineError::CacheFull`] if `len` lies within a block that others rely on and no block is free for a copy
    /// of it; nothing has changed then.
    pub fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<(), EngineError> {
        if let Some((from, to)) = self.ledger.truncate(sequence, len)? {
            for layer in &mut self.layers {
                *layer =
                    layer.take().map(|(keys, values)| (copied(keys, from, to), copied(values, from, to)));
            }
        }
        Ok(())
    }

    /// Forgets what was computed under an adapter whose sequences are all closed: its number will not come again.
    ///
    /// # Panics
    /// If an open sequence is computed under it.
    pub fn forget_adapter(&mut self, adapter: AdapterId) {
        self.ledger.forget_adapter(adapter);
    }

    /// Reserves the places of a batch's tokens, or changes nothing.
    ///
    /// # Errors
    /// [`EngineError::CacheFull`] if there are too few free blocks.
    pub(crate) fn plan(&mut self, batch: &Batch) -> Result<Plan, EngineError> {
        let sequences = self.ledger.plan(batch)?;
        let positions = sequences.iter().flat_map(|part| part.past..part.past + part.len).collect();
        let adapters = batch.sequences.iter().map(|part| (part.len, self.ledger.adapter(part.sequence)));
        let adapters = adapters.collect();
        let pages = StepPages::new(Pages::new(sequences, self.window), &self.shape.device);
        Ok(Plan { positions, adapters, pages })
    }

    /// Notes that the keys and values of a planned batch are written.
    pub(crate) fn commit(&mut self, batch: &Batch) {
        self.ledger.commit(batch);
    }

    /// Gives a layer's keys and values to `write`, which returns them.
    pub(crate) fn write_layer(
        &mut self,
        layer: usize,
        write: impl FnOnce(LayerCache) -> LayerCache,
    ) -> &LayerCache {
        let place = &mut self.layers[layer];
        let taken = place.take().unwrap_or_else(|| self.shape.zeros());
        place.insert(write(taken))
    }
}

/// The memory with the content of block `from` in block `to` as well.
fn copied(memory: Tensor<4>, from: usize, to: usize) -> Tensor<4> {
    let [_, a, b, c] = memory.dims();
    let block = memory.clone().slice([from..from + 1, 0..a, 0..b, 0..c]);
    memory.slice_assign([to..to + 1, 0..a, 0..b, 0..c], block)
}

/// The places of one step's tokens in the cache, and the adapters they are computed under.
pub(crate) struct Plan {
    /// Position of every token in its sequence.
    pub positions: Vec<usize>,
    /// Tokens in a row, and the adapter they are computed under.
    pub adapters: Vec<(usize, Option<AdapterId>)>,
    pub pages: StepPages,
}
