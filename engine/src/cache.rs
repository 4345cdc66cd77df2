//! The paged key/value cache: blocks of a fixed number of positions, a block table per sequence.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::ops::attention::{attention, hidden_positions};
use crate::pass::Attend;
use crate::{Batch, EngineError, LlamaConfig};

/// Positions in one block.
const BLOCK: usize = 32;

/// A sequence that lives in a [`KvCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(crate) usize);

/// Keys and values of every layer, in blocks of 32 positions shared by all sequences.
///
/// Methods that take a [`SequenceId`] panic if it was closed or belongs to another cache.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    free: Vec<usize>, // blocks, the lowest last
    sequences: BTreeMap<SequenceId, Sequence>,
    next: usize,
    window: Option<usize>,
    kv_heads: usize,
    head_dim: usize,
    device: Device,
}

/// One layer's keys and values, `[slots, kv_heads * head_dim]`: slot = block · 32 + position in it.
/// They leave their place while a step writes them, so that the write happens in place.
#[derive(Debug)]
struct LayerCache {
    keys: Option<Tensor<2>>,
    values: Option<Tensor<2>>,
}

#[derive(Debug, Default)]
struct Sequence {
    blocks: Vec<usize>,
    len: usize,
}

impl KvCache {
    /// A cache that holds `positions` positions in all, rounded up to whole blocks.
    pub fn new(config: &LlamaConfig, positions: usize, device: &Device) -> Self {
        let blocks = positions.div_ceil(BLOCK);
        let width = config.num_key_value_heads * config.head_dim;
        let empty = || Some(Tensor::zeros([blocks * BLOCK, width], device));
        Self {
            layers: (0..config.num_hidden_layers)
                .map(|_| LayerCache { keys: empty(), values: empty() })
                .collect(),
            free: (0..blocks).rev().collect(),
            sequences: BTreeMap::new(),
            next: 0,
            window: config.sliding_window,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            device: device.clone(),
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
        // Low blocks first: a lone sequence then lies in one piece, which reads without a copy.
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
        let mut plan = Plan { positions: Vec::with_capacity(batch.len()), chunks: Vec::new() };
        for chunk in &batch.chunks {
            let blocks = missing(self, chunk);
            let taken = self.free.split_off(self.free.len() - blocks);
            let sequence = self.sequences.get_mut(&chunk.sequence).expect("the sequence was read above");
            sequence.blocks.extend(taken.into_iter().rev());
            let past = sequence.len;
            sequence.len += chunk.len;
            plan.positions.extend(past..sequence.len);
            plan.chunks.push(PlannedChunk {
                tokens: chunk.start..chunk.start + chunk.len,
                past,
                slots: (0..sequence.len).map(|p| sequence.blocks[p / BLOCK] * BLOCK + p % BLOCK).collect(),
                hidden: hidden_positions(past, chunk.len, self.window, &self.device),
            });
        }
        Ok(plan)
    }
}

/// Where the tokens of one step go and what they see.
pub(crate) struct Plan {
    /// Position of every token in its sequence.
    pub positions: Vec<usize>,
    chunks: Vec<PlannedChunk>,
}

struct PlannedChunk {
    tokens: Range<usize>,
    past: usize,
    slots: Vec<usize>, // of positions 0 .. past + tokens
    hidden: Option<Tensor<2, Bool>>,
}

/// Attention of a step over the cache.
pub(crate) struct PagedAttention<'a> {
    pub cache: &'a mut KvCache,
    pub plan: &'a Plan,
}

impl Attend for PagedAttention<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let (kv_heads, head_dim) = (self.cache.kv_heads, self.cache.head_dim);
        let [tokens, _, _] = q.dims();
        let width = kv_heads * head_dim;
        let (k, v) = (k.reshape([tokens, width]), v.reshape([tokens, width]));
        let LayerCache { keys, values } = &mut self.cache.layers[layer];
        let written = |cache: &mut Option<Tensor<2>>, rows: Tensor<2>| {
            let taken = cache.take().expect("a layer's cache is back in its place after every step");
            cache.insert(write(taken, rows, &self.plan.chunks)).clone()
        };
        let (keys, values) = (written(keys, k), written(values, v)); // [slots, width]

        let outputs = self.plan.chunks.iter().map(|chunk| {
            let q = q.clone().narrow(0, chunk.tokens.start, chunk.tokens.len()); // [len, heads, head_dim]
            let seen = |cache: &Tensor<2>| {
                let context = chunk.slots.len();
                read(cache.clone(), &chunk.slots, &self.cache.device).reshape([context, kv_heads, head_dim])
            };
            attention(q, seen(&keys), seen(&values), chunk.hidden.clone())
        });
        Tensor::cat(outputs.collect(), 0) // [tokens, heads, head_dim]
    }
}

/// Writes `rows [tokens, width]` to their slots.
fn write(mut cache: Tensor<2>, rows: Tensor<2>, chunks: &[PlannedChunk]) -> Tensor<2> {
    let [_, width] = rows.dims();
    for chunk in chunks {
        let mut token = chunk.tokens.start;
        for run in runs(&chunk.slots[chunk.past..]) {
            let part = rows.clone().narrow(0, token, run.len());
            token += run.len();
            cache = cache.slice_assign([run, 0..width], part);
        }
    }
    cache
}

/// The rows at `slots`: a view where they are consecutive, else a copy.
fn read(cache: Tensor<2>, slots: &[usize], device: &Device) -> Tensor<2> {
    match runs(slots).as_slice() {
        [run] => cache.narrow(0, run.start, run.len()),
        _ => {
            let slots: Vec<i64> = slots.iter().map(|slot| *slot as i64).collect();
            let len = slots.len();
            cache.select(0, Tensor::<1, Int>::from_data(TensorData::new(slots, [len]), device))
        }
    }
}

/// Consecutive slots as ranges.
fn runs(slots: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some(run) if run.end == *slot => run.end += 1,
            _ => runs.push(*slot..slot + 1),
        }
    }
    runs
}
