//! Which blocks of the cache are free, and who holds the others. It knows no tensor.
//!
//! **What a free block may hold**: whatever its last holder wrote, infinities and NaN included. Blocks are not
//! cleared when they change hands. So nothing may read a position that its sequence has not written: attention
//! takes keys and values up to the last position that a query sees and no further, because a weight of 0 does not
//! make an infinity disappear.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The blocks `0 .. blocks` of a cache. A block is **free**, **held** by one or more sequences, or **idle**: no
/// sequence holds it, but it is kept because its content may be wanted again.
#[derive(Debug)]
pub(crate) struct BlockPool {
    /// Sequences that hold each block.
    holders: Vec<u32>,
    /// Whether the content of each block is kept when nobody holds it.
    kept: Vec<bool>,
    /// The lowest comes first, so that memory that was never used stays untouched.
    free: BinaryHeap<Reverse<usize>>,
    idle: usize,
}

impl BlockPool {
    pub fn new(blocks: usize) -> Self {
        Self {
            holders: vec![0; blocks],
            kept: vec![false; blocks],
            free: (0..blocks).map(Reverse).collect(),
            idle: 0,
        }
    }

    /// Blocks in all.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Blocks that hold nothing of use.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Blocks that can be given out, if idle ones are forgotten first.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle
    }

    /// Gives out a free block to one holder.
    pub fn take(&mut self) -> Option<usize> {
        let Reverse(block) = self.free.pop()?;
        self.holders[block] = 1;
        Some(block)
    }

    /// Adds a holder to a block that is held or idle.
    pub fn share(&mut self, block: usize) {
        debug_assert!(self.holders[block] > 0 || self.kept[block], "block {block} is free");
        self.idle -= usize::from(self.holders[block] == 0);
        self.holders[block] += 1;
    }

    /// Takes a holder from a block; without any it is idle if its content is kept, else free.
    pub fn release(&mut self, block: usize) {
        self.holders[block] -= 1;
        if self.holders[block] == 0 {
            match self.kept[block] {
                true => self.idle += 1,
                false => self.free.push(Reverse(block)),
            }
        }
    }

    /// Keeps the content of a held block.
    pub fn keep(&mut self, block: usize) {
        debug_assert!(self.holders[block] > 0 && !self.kept[block], "block {block} is free or kept");
        self.kept[block] = true;
    }

    /// Keeps the content of a block no longer; an idle block becomes free.
    pub fn forget(&mut self, block: usize) {
        debug_assert!(self.kept[block], "block {block} is not kept");
        self.kept[block] = false;
        if self.holders[block] == 0 {
            self.idle -= 1;
            self.free.push(Reverse(block));
        }
    }

    /// Whether the content of a block is kept and nobody holds it.
    pub fn is_idle(&self, block: usize) -> bool {
        self.kept[block] && self.holders[block] == 0
    }

    /// Whether somebody besides one holder relies on the content of a block.
    pub fn is_shared(&self, block: usize) -> bool {
        self.kept[block] || self.holders[block] > 1
    }

    /// Checks the pool against what its users hold: `held` names a block once for every holder, `kept` every block
    /// whose content is kept.
    ///
    /// # Panics
    /// With what does not agree.
    #[cfg(test)]
    pub fn check_invariants(&self, held: impl Iterator<Item = usize>, kept: impl Iterator<Item = usize>) {
        let mut holders = vec![0; self.holders.len()];
        held.for_each(|block| holders[block] += 1);
        assert_eq!(holders, self.holders, "holders");
        let mut flags = vec![false; self.kept.len()];
        for block in kept {
            assert!(!std::mem::replace(&mut flags[block], true), "block {block} is kept twice");
        }
        assert_eq!(flags, self.kept, "kept");
        let mut free: Vec<usize> = self.free.iter().map(|Reverse(block)| *block).collect();
        free.sort_unstable();
        let unused = |block: &usize| self.holders[*block] == 0 && !self.kept[*block];
        assert_eq!(free, (0..self.holders.len()).filter(unused).collect::<Vec<_>>(), "free");
        assert_eq!(self.idle, (0..self.holders.len()).filter(|block| self.is_idle(*block)).count(), "idle");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_from_free_to_held_to_idle_and_back() {
        let mut pool = BlockPool::new(3);
        assert_eq!((pool.take(), pool.take()), (Some(0), Some(1)));
        pool.share(0);
        pool.keep(0);
        pool.release(1);
        pool.check_invariants([0, 0].into_iter(), [0].into_iter());
        assert_eq!((pool.free(), pool.available()), (2, 2));
        pool.release(0);
        pool.release(0);
        assert!(pool.is_idle(0) && pool.is_shared(0));
        assert_eq!((pool.free(), pool.available()), (2, 3));
        assert_eq!(pool.take(), Some(1), "an idle block is not given out");
        pool.share(0);
        pool.forget(0);
        pool.check_invariants([0, 1].into_iter(), [].into_iter());
        pool.release(0);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(0), Some(2), None));
    }
}
