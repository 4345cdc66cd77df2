//! Where the parts of a packed matrix lie, computed once for all its tiles.

use std::ops::Range;

use crate::backend::cpu::operands::activations_q16::BLOCK_COLUMNS;
use crate::backend::cpu::threads::prefetch::{Cache, prefetch};
use crate::quant::{Layout, TILE};

/// A [`Layout`] with the offsets of its parts computed once: a layout divides each time it is asked, which takes too long
/// for the short tiles of a small model. Kernels rely on it without bounds checks, as they do on a layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedOffsets {
    layout: Layout,
    tiles: usize,
    words: usize,
    codes: PackedPart,
    high: PackedPart,
    sub_scales: PackedPart,
    scales: PackedPart,
}

/// One part: where it begins, and the words of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedPart {
    start: usize,
    len: usize,
}

impl PackedOffsets {
    pub fn of(layout: Layout) -> Self {
        let plane = |words: Range<usize>, len| PackedPart { start: words.start, len };
        Self {
            layout,
            tiles: layout.tiles(),
            words: layout.words(),
            codes: plane(layout.codes(), layout.tile_codes()),
            high: plane(layout.high(), layout.tile_high()),
            sub_scales: plane(layout.sub_scales(), layout.tile_sub_scales()),
            scales: plane(layout.scales(), layout.tile_scales()),
        }
    }

    #[inline(always)]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Tiles of 16 rows.
    #[inline(always)]
    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// Words in all.
    #[inline(always)]
    pub fn words(&self) -> usize {
        self.words
    }

    #[inline(always)]
    pub fn codes(&self) -> PackedPart {
        self.codes
    }

    #[inline(always)]
    pub fn high(&self) -> PackedPart {
        self.high
    }

    #[inline(always)]
    pub fn sub_scales(&self) -> PackedPart {
        self.sub_scales
    }

    #[inline(always)]
    pub fn scales(&self) -> PackedPart {
        self.scales
    }

    /// Prefetches all parts of a block of 32 columns of a tile, which need not exist.
    #[inline(always)]
    pub fn prefetch(&self, words: &[u32], tile: usize, block: usize) {
        let blocks = self.layout.cols() / BLOCK_COLUMNS;
        for PackedPart { start, len } in [self.codes, self.high, self.sub_scales, self.scales] {
            let at = start + tile * len + block * len / blocks;
            for line in 0..(len / blocks).div_ceil(TILE) {
                prefetch(Cache::First, words.as_ptr().wrapping_add(at + line * TILE).addr());
            }
        }
    }
}

impl PackedPart {
    /// The part's words of some tiles.
    #[inline(always)]
    pub fn tiles<'w>(&self, words: &'w [u32], tiles: Range<usize>) -> &'w [u32] {
        &words[self.start + tiles.start * self.len..self.start + tiles.end * self.len]
    }
}
