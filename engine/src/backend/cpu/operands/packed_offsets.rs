//! Where the parts of a packed matrix lie, reckoned once for all its tiles.

use std::ops::Range;

use crate::backend::cpu::operands::activations_q16::BLOCK;
use crate::backend::cpu::threads::prefetch::{Cache, prefetch};
use crate::quant::{Layout, TILE};

/// A [`Layout`] with its parts in numbers: a layout divides anew at every question, which a tile of a small
/// model is too short for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedOffsets {
    pub layout: Layout,
    /// Tiles of 16 rows.
    pub tiles: usize,
    /// Words in all.
    pub words: usize,
    pub codes: PackedPart,
    pub high: PackedPart,
    pub sub_scales: PackedPart,
    pub scales: PackedPart,
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

    /// Asks for what a block of 32 columns of a tile, which need not exist, has in all parts.
    #[inline(always)]
    pub fn prefetch(&self, words: &[u32], tile: usize, block: usize) {
        let blocks = self.layout.cols / BLOCK;
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
