//! The block formats and their sizes.

/// A block format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the formats' own names
pub enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
    NF4,
}

impl Format {
    /// Elements in one block; a row must be a multiple of it.
    pub const fn block_len(self) -> usize {
        match self {
            Format::Q4_K | Format::Q5_K | Format::Q6_K => 256,
            Format::NF4 => 64,
            _ => 32,
        }
    }

    /// Bytes of one block on disk (GGUF formats; NF4 is not stored in blocks and gives 32, its codes).
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::Q4_0 => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q8_0 => 34,
            Format::Q4_K => 144,
            Format::Q5_K => 176,
            Format::Q6_K => 210,
            Format::NF4 => 32,
        }
    }

    /// Columns that share one scale and minimum.
    pub(crate) const fn group_len(self) -> usize {
        match self {
            Format::Q6_K => 16,
            Format::NF4 => 64,
            _ => 32,
        }
    }

    /// Whether 8 blocks of 32 columns share a scale, by which each has an integer factor (ggml's k-quants).
    #[cfg(feature = "flex")]
    pub(crate) const fn has_super_blocks(self) -> bool {
        self.block_len() == 256
    }

    /// What is subtracted from a code, where values lie symmetrically around 0.
    #[cfg(feature = "flex")]
    pub(crate) const fn offset(self) -> i32 {
        match self {
            Format::Q4_0 => 8,
            Format::Q5_0 => 16,
            Format::Q6_K => 32,
            Format::Q8_0 => 128,
            _ => 0,
        }
    }

    /// Whether a block stores a minimum beside its scale.
    pub(crate) const fn has_minimum(self) -> bool {
        matches!(self, Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K)
    }
}
