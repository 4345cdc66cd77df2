//! The paged key/value cache.

use burn::tensor::Device;

use crate::{EngineError, LlamaConfig};

/// A sequence that lives in a [`KvCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(crate) usize);

/// Keys and values of every layer, in blocks of a fixed number of positions shared by all sequences.
#[derive(Debug)]
pub struct KvCache {}

impl KvCache {
    /// A cache that holds `positions` positions in all, rounded up to whole blocks.
    pub fn new(_config: &LlamaConfig, _positions: usize, _device: &Device) -> Self {
        unimplemented!()
    }

    /// Starts an empty sequence.
    pub fn open(&mut self) -> SequenceId {
        unimplemented!()
    }

    /// Ends a sequence and frees its blocks.
    pub fn close(&mut self, _sequence: SequenceId) {
        unimplemented!()
    }

    /// Positions that `sequence` holds.
    pub fn len(&self, _sequence: SequenceId) -> usize {
        unimplemented!()
    }

    /// Positions that can still be written to new blocks, over all sequences.
    pub fn free(&self) -> usize {
        unimplemented!()
    }

    /// Forgets the positions of `sequence` from `len` on.
    pub fn truncate(&mut self, _sequence: SequenceId, _len: usize) -> Result<(), EngineError> {
        unimplemented!()
    }
}
