//! How a quantized matrix lies in memory: one layout for every format and backend.
//!
//! GGUF stores a matrix as rows of blocks, each block a struct. Here it is a structure of arrays of
//! 32-bit words in which the rows of a **tile** of 16 are interleaved, so that 16 neighbouring words
//! belong to 16 output rows at the same columns: 16 lanes of a vector, or 16 threads of a GPU. Every
//! lane sums its own row's blocks in order, which is why a row's result depends on that row alone.
//!
//! ```text
//! words = [ codes | high | sub_scales | scales | (NF4: absmax2, offset) ]
//!
//! codes       4-bit: [tiles][cols/8][16]   byte j of a word: column 8g+j in the low nibble, 8g+4+j in the high
//!             8-bit: [tiles][cols/4][16]   byte j of a word: column 4g+j, stored as code + 128
//! high        5-bit: [tiles][cols/32][16]  bit q of byte j: column 32g+4q+j
//!             6-bit: [tiles][cols/16][16]  bits 2q, 2q+1 of byte j: column 16g+4q+j
//! sub_scales  Q4_K, Q5_K: [tiles][cols/256][3][16], the block's 12 bytes
//!             Q6_K: [tiles][cols/256][4][16], 16 signed bytes;  NF4: [tiles][cols/64][4], 16 bytes of 16 rows
//! scales      one f16 a block: [tiles][blocks][8], two rows a word
//!             two f16 a block: [tiles][blocks][16], (d, m) a word
//! ```
//!
//! Rows are padded to whole tiles with zeros. Conversion from and to GGUF blocks loses nothing.

use std::ops::Range;

use super::Format;

/// Rows that are interleaved.
pub const TILE: usize = 16;

/// Where the parts of a packed matrix lie, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The block format.
    pub format: Format,
    /// Rows of the matrix: outputs.
    pub rows: usize,
    /// Columns of the matrix: inputs; a multiple of the block length.
    pub cols: usize,
}

/// What one format stores a block, counted in words for a tile of 16 rows.
struct Parts {
    codes: usize,
    high: usize,
    sub_scales: usize,
    scales: usize,
}

impl Layout {
    /// Tiles of 16 rows.
    pub const fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Blocks in a row.
    pub const fn blocks(&self) -> usize {
        self.cols / self.format.block_len()
    }

    const fn parts(&self) -> Parts {
        let (codes, high, sub_scales, scales) = match self.format {
            Format::Q4_0 => (4, 0, 0, 8),
            Format::Q4_1 => (4, 0, 0, 16),
            Format::Q5_0 => (4, 1, 0, 8),
            Format::Q5_1 => (4, 1, 0, 16),
            Format::Q8_0 => (8, 0, 0, 8),
            Format::Q4_K => (32, 0, 48, 16),
            Format::Q5_K => (32, 8, 48, 16),
            Format::Q6_K => (32, 16, 64, 8),
            Format::NF4 => (8, 0, 4, 0),
        };
        Parts { codes: codes * TILE, high: high * TILE, sub_scales, scales }
    }

    /// Words of one tile's codes.
    pub const fn tile_codes(&self) -> usize {
        self.blocks() * self.parts().codes
    }

    /// Words of one tile's high bits.
    pub const fn tile_high(&self) -> usize {
        self.blocks() * self.parts().high
    }

    /// Words of one tile's sub-scales.
    pub const fn tile_sub_scales(&self) -> usize {
        self.blocks() * self.parts().sub_scales
    }

    /// Words of one tile's scales.
    pub const fn tile_scales(&self) -> usize {
        self.blocks() * self.parts().scales
    }

    /// The code words.
    pub const fn codes(&self) -> Range<usize> {
        0..self.tiles() * self.tile_codes()
    }

    /// The plane of high bits; empty for 4- and 8-bit formats.
    pub const fn high(&self) -> Range<usize> {
        let start = self.codes().end;
        start..start + self.tiles() * self.tile_high()
    }

    /// The packed sub-scales (and minima).
    pub const fn sub_scales(&self) -> Range<usize> {
        let start = self.high().end;
        start..start + self.tiles() * self.tile_sub_scales()
    }

    /// The f16 scales (and minima).
    pub const fn scales(&self) -> Range<usize> {
        let start = self.sub_scales().end;
        start..start + self.tiles() * self.tile_scales()
    }

    /// NF4's second level: one f32 for every 256 blocks of the flattened matrix, then the offset.
    pub const fn absmax2(&self) -> Range<usize> {
        let start = self.scales().end;
        let len = match self.format {
            Format::NF4 => (self.rows * self.blocks()).div_ceil(256) + 1,
            _ => 0,
        };
        start..start + len
    }

    /// Words in all.
    pub const fn words(&self) -> usize {
        self.absmax2().end
    }
}
