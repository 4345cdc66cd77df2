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
use super::formats::ScaleKind;
use super::formats::nf4::ABSMAX2_SCALES;
use crate::error::EngineError;

/// Rows that are interleaved.
pub(crate) const TILE: usize = 16;

/// Where the parts of a packed matrix lie, in words.
///
/// Kernels read without bounds checks where a layout says that there are words, so none exists but through
/// [`Layout::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    format: Format,
    rows: usize,
    cols: usize,
}

/// What one format stores a block, counted in words for a tile of 16 rows.
struct Parts {
    codes: usize,
    high: usize,
    sub_scales: usize,
    scales: usize,
}

impl Layout {
    /// The layout of a matrix of `rows` outputs and `cols` inputs.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if there are no elements, a row is not whole blocks, or the matrix in f32, padded to
    /// whole tiles, would not fit the address space.
    pub fn new(format: Format, [rows, cols]: [usize; 2]) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Shape {
            what: format!("{format:?} matrix [{rows}, {cols}]"),
            reason,
        };
        if rows == 0 || cols == 0 {
            return Err(refused("there are no elements".into()));
        }
        if !cols.is_multiple_of(format.block_len()) {
            let len = format.block_len();
            return Err(refused(format!("{cols} columns are not a multiple of the {len} of a block")));
        }
        let padded = rows.checked_next_multiple_of(TILE).and_then(|rows| rows.checked_mul(cols));
        if padded.is_none_or(|elements| elements > isize::MAX as usize / 8) {
            return Err(refused("more elements than memory can be addressed".into()));
        }
        Ok(Self { format, rows, cols })
    }

    /// The block format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Rows of the matrix: outputs.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix: inputs; whole blocks.
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Tiles of 16 rows.
    pub const fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Blocks in a row.
    pub const fn blocks(&self) -> usize {
        self.cols / self.format.block_len()
    }

    const fn parts(&self) -> Parts {
        let values = self.format.block_len();
        let (low_bits, high_bits) = match self.format.code_bits() as usize {
            8 => (8, 0),
            bits => (4, bits - 4),
        };
        let sub_scales = match self.format.scale_kind() {
            ScaleKind::Nested => TILE / 4, // a byte a row
            kind => kind.integer_words() * TILE,
        };
        let scales = match self.format.scale_kind() {
            ScaleKind::Nested => 0,
            ScaleKind::Half | ScaleKind::SignedBytes => TILE / 2,
            ScaleKind::HalfPair | ScaleKind::SixBitPairs => TILE,
        };
        let (codes, high) = (values * low_bits / 32 * TILE, values * high_bits / 32 * TILE);
        Parts { codes, high, sub_scales, scales }
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
        let len = match self.format.scale_kind() {
            ScaleKind::Nested => (self.rows * self.blocks()).div_ceil(ABSMAX2_SCALES) + 1,
            _ => 0,
        };
        start..start + len
    }

    /// Words in all.
    pub const fn words(&self) -> usize {
        self.absmax2().end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(format: Format, shape: [usize; 2]) -> String {
        Layout::new(format, shape).expect_err("a shape to refuse").to_string()
    }

    #[test]
    fn a_row_of_part_of_a_block_has_no_layout() {
        // Kernels read 32 columns at a time: of NF4, whose blocks are 64 long, three times, past the codes of one block.
        assert_eq!(
            refusal(Format::NF4, [16, 96]),
            "NF4 matrix [16, 96]: 96 columns are not a multiple of the 64 of a block"
        );
        assert_eq!(
            refusal(Format::Q4_K, [1, 32]),
            "Q4_K matrix [1, 32]: 32 columns are not a multiple of the 256 of a block"
        );
    }

    #[test]
    fn a_block_of_a_tile_has_these_words() {
        for (format, words) in [
            (Format::Q4_0, [64, 0, 0, 8]),
            (Format::Q4_1, [64, 0, 0, 16]),
            (Format::Q5_0, [64, 16, 0, 8]),
            (Format::Q5_1, [64, 16, 0, 16]),
            (Format::Q8_0, [128, 0, 0, 8]),
            (Format::Q4_K, [512, 0, 48, 16]),
            (Format::Q5_K, [512, 128, 48, 16]),
            (Format::Q6_K, [512, 256, 64, 8]),
            (Format::NF4, [128, 0, 4, 0]),
        ] {
            let layout = Layout::new(format, [16, format.block_len()]).unwrap();
            let found =
                [layout.codes(), layout.high(), layout.sub_scales(), layout.scales()].map(|part| part.len());
            assert_eq!(found, words, "{format:?}");
        }
    }

    #[test]
    fn what_is_empty_or_cannot_be_addressed_has_no_layout() {
        for shape in [[0, 64], [16, 0]] {
            assert!(refusal(Format::NF4, shape).ends_with("there are no elements"), "{shape:?}");
        }
        for shape in [[usize::MAX, 64], [usize::MAX / 64, 64], [1, usize::MAX / 64 * 64]] {
            assert!(refusal(Format::NF4, shape).ends_with("memory can be addressed"), "{shape:?}");
        }
    }
}
