//! Which positions of which sequence lie in which block. It knows no tensor.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::block_pool::BlockPool;
use super::prefix_trie::PrefixTrie;
use crate::adapter::AdapterId;
use crate::error::EngineError;
use crate::ops::paged::{BLOCK, PagedSequence};

/// A sequence that lives in a [`KvCache`](super::kv_cache::KvCache).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(crate) usize);

/// Sequences, their block tables, and the full blocks that later sequences may begin with.
#[derive(Debug)]
pub(crate) struct Ledger {
    pool: BlockPool,
    prefixes: PrefixTrie,
    sequences: BTreeMap<SequenceId, Sequence>,
    next: usize,
}

#[derive(Debug)]
struct Sequence {
    adapter: Option<AdapterId>,
    /// The tokens of its positions: of the first `computed` the keys and values are written, the rest is planned.
    tokens: Vec<u32>,
    blocks: Vec<usize>,
    /// Positions whose keys and values are written.
    computed: usize,
    /// Blocks that are in the trie.
    published: usize,
}

impl Ledger {
    pub fn new(blocks: usize) -> Self {
        Self {
            pool: BlockPool::new(blocks),
            prefixes: PrefixTrie::default(),
            sequences: BTreeMap::new(),
            next: 0,
        }
    }

    /// Starts a sequence that is to begin with `tokens`, with the positions of them that are known; at least one
    /// token is left to compute.
    pub fn open(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> SequenceId {
        let known = &tokens[..tokens.len().saturating_sub(1)];
        let blocks = self.prefixes.find(adapter, known, BLOCK);
        blocks.iter().for_each(|block| self.pool.share(*block));
        let computed = blocks.len() * BLOCK;
        let sequence = Sequence {
            adapter,
            tokens: tokens[..computed].to_vec(),
            published: blocks.len(),
            blocks,
            computed,
        };
        let id = SequenceId(self.next);
        self.next += 1;
        self.sequences.insert(id, sequence);
        id
    }

    /// Ends a sequence; its full blocks are kept while nobody needs the room.
    pub fn close(&mut self, id: SequenceId) {
        self.publish(id);
        if let Some(sequence) = self.sequences.remove(&id) {
            sequence.blocks.into_iter().for_each(|block| self.pool.release(block));
        }
    }

    /// Ends all sequences and forgets every block.
    pub fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::new(self.pool.len()) };
    }

    /// Forgets what was computed under an adapter whose sequences are all closed.
    pub fn forget_adapter(&mut self, adapter: AdapterId) {
        let mut adapters = self.sequences.values().map(|sequence| sequence.adapter);
        assert!(!adapters.any(|other| other == Some(adapter)), "an open sequence uses the adapter");
        for block in self.prefixes.remove_root(Some(adapter)) {
            self.pool.forget(block);
        }
    }

    /// Positions that a sequence holds.
    pub fn len(&self, id: SequenceId) -> usize {
        self.sequences[&id].tokens.len()
    }

    /// The adapter of a sequence.
    pub fn adapter(&self, id: SequenceId) -> Option<AdapterId> {
        self.sequences[&id].adapter
    }

    /// Blocks that can be given out.
    pub fn available(&self) -> usize {
        self.pool.available()
    }

    /// Forgets the positions of a sequence from `len` on. If others rely on the block in which it now ends, the
    /// sequence gets a block of its own for it: the pair says from which block to which its content is to be copied.
    ///
    /// # Errors
    /// [`EngineError::CacheFull`] if there is no block for that; nothing has changed then.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<Option<(usize, usize)>, EngineError> {
        let Some(sequence) = self.sequences.get(&id).filter(|sequence| len < sequence.tokens.len()) else {
            return Ok(None);
        };
        let cut = match len % BLOCK {
            0 => None,
            _ => Some(sequence.blocks[len / BLOCK]).filter(|block| self.pool.is_shared(*block)),
        };
        let own = match cut {
            Some(_) => Some(self.take().ok_or(EngineError::CacheFull { needed: 1, free: 0 })?),
            None => None,
        };
        let sequence = self.sequences.get_mut(&id).expect("the sequence was read above");
        sequence.tokens.truncate(len);
        sequence.computed = sequence.computed.min(len);
        sequence.published = sequence.published.min(len / BLOCK);
        let mut released = sequence.blocks.split_off(len.div_ceil(BLOCK));
        if let Some(own) = own {
            released.extend(sequence.blocks.pop());
            sequence.blocks.push(own);
        }
        released.into_iter().for_each(|block| self.pool.release(block));
        Ok(cut.zip(own))
    }

    /// Reserves the places of a batch's tokens, or changes nothing.
    ///
    /// # Errors
    /// [`EngineError::CacheFull`] if there are too few blocks, [`EngineError::Shape`] if the batch has two parts of one
    /// sequence: the second would write the block in which the first ends, at the same time.
    pub fn plan(&mut self, batch: &Batch) -> Result<Vec<PagedSequence>, EngineError> {
        let mut sequences = BTreeSet::new();
        if let Some(part) = batch.sequences.iter().find(|part| !sequences.insert(part.sequence)) {
            return Err(EngineError::Shape {
                what: "batch".into(),
                reason: format!("sequence {} has two parts; push its tokens together", part.sequence.0),
            });
        }
        batch.sequences.iter().for_each(|part| self.publish(part.sequence));
        let missing = |ledger: &Self, id: SequenceId, len: usize| {
            let sequence = &ledger.sequences[&id];
            (sequence.tokens.len() + len).div_ceil(BLOCK).saturating_sub(sequence.blocks.len())
        };
        let needed = batch.sequences.iter().map(|part| missing(self, part.sequence, part.len)).sum();
        if needed > self.available() {
            return Err(EngineError::CacheFull { needed, free: self.available() });
        }
        let reserved = batch.sequences.iter().map(|part| {
            let blocks = missing(self, part.sequence, part.len);
            let taken: Vec<usize> = (0..blocks).filter_map(|_| self.take()).collect();
            let sequence = self.sequences.get_mut(&part.sequence).expect("the sequence was read above");
            sequence.blocks.extend(taken);
            let past = sequence.tokens.len();
            sequence.tokens.extend_from_slice(&batch.tokens[part.start..part.start + part.len]);
            let blocks = sequence.blocks.iter().map(|block| *block as u32).collect();
            PagedSequence { start: part.start, len: part.len, past, blocks }
        });
        Ok(reserved.collect())
    }

    /// Notes that the keys and values of a planned batch are written.
    pub fn commit(&mut self, batch: &Batch) {
        for part in &batch.sequences {
            if let Some(sequence) = self.sequences.get_mut(&part.sequence) {
                sequence.computed = sequence.tokens.len();
            }
        }
    }

    /// Offers the full blocks of a sequence to those that come. A block with the same tokens that was offered before
    /// takes the place of its own: both hold the same numbers.
    fn publish(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        let full = sequence.computed / BLOCK;
        if full <= sequence.published {
            return;
        }
        let (tokens, blocks) = (&sequence.tokens[..full * BLOCK], &mut sequence.blocks[..full]);
        let path = self.prefixes.insert(sequence.adapter, tokens, BLOCK, blocks);
        let new = sequence.published..full;
        sequence.published = full;
        for (block, known) in blocks.iter_mut().zip(path).skip(new.start) {
            if *block == known {
                self.pool.keep(known);
            } else {
                self.pool.share(known);
                self.pool.release(std::mem::replace(block, known));
            }
        }
    }

    /// A block to write to; if none is free, the idle one that was unused for longest.
    fn take(&mut self) -> Option<usize> {
        if self.pool.free() == 0 {
            let block = self.prefixes.evict(|block| self.pool.is_idle(block))?;
            self.pool.forget(block);
        }
        self.pool.take()
    }

    /// # Panics
    /// If the parts of the ledger disagree.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        let held = self.sequences.values().flat_map(|sequence| sequence.blocks.iter().copied());
        self.pool.check_invariants(held, self.prefixes.blocks());
        for (id, sequence) in &self.sequences {
            assert_eq!(sequence.blocks.len(), sequence.tokens.len().div_ceil(BLOCK), "{id:?}");
            assert!(sequence.computed <= sequence.tokens.len(), "{id:?}");
            assert!(sequence.published * BLOCK <= sequence.computed, "{id:?}");
        }
    }
}

#[cfg(test)]
mod tests;
