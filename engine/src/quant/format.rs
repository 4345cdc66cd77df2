//! The block formats.

use super::formats::{self, FormatSpec, ScaleKind};

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
    /// Those that GGUF files store, under these names.
    pub const GGUF: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// What is known of the format; all other code asks for a property, not for a format.
    pub(crate) const fn spec(self) -> &'static FormatSpec {
        match self {
            Self::Q4_0 => &formats::Q4_0,
            Self::Q4_1 => &formats::Q4_1,
            Self::Q5_0 => &formats::Q5_0,
            Self::Q5_1 => &formats::Q5_1,
            Self::Q8_0 => &formats::Q8_0,
            Self::Q4_K => &formats::Q4_K,
            Self::Q5_K => &formats::Q5_K,
            Self::Q6_K => &formats::Q6_K,
            Self::NF4 => &formats::NF4,
        }
    }

    /// The format's name, such as `Q4_K`.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// Elements in one block; a row must be a multiple of it.
    pub const fn block_len(self) -> usize {
        self.spec().block_len
    }

    /// Bytes of one block on disk (GGUF formats; NF4 is not stored in blocks and gives 32, its codes).
    pub const fn block_bytes(self) -> usize {
        self.spec().block_bytes
    }

    /// Columns that share one scale and minimum.
    pub(crate) const fn group_len(self) -> usize {
        self.spec().group_len
    }

    /// Bits of a code: 4, 5, 6 or 8.
    pub(crate) const fn code_bits(self) -> u8 {
        self.spec().code_bits
    }

    /// How codes become values.
    pub(crate) const fn scale_kind(self) -> ScaleKind {
        self.spec().scale_kind
    }

    /// What is subtracted from a code, where values lie symmetrically around 0.
    pub(crate) const fn offset(self) -> i32 {
        self.spec().offset as i32
    }

    /// Whether 8 blocks of 32 columns share a scale, by which each has an integer factor (ggml's k-quants).
    #[cfg(feature = "flex")]
    pub(crate) const fn has_super_blocks(self) -> bool {
        matches!(self.scale_kind(), ScaleKind::SixBitPairs | ScaleKind::SignedBytes)
    }

    /// Whether a block stores a minimum beside its scale.
    pub(crate) const fn has_minimum(self) -> bool {
        self.scale_kind().has_minimum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_own_name() {
        for format in Format::GGUF.into_iter().chain([Format::NF4]) {
            assert_eq!(format.name(), format!("{format:?}"));
            assert_eq!(format.spec().blocks.is_some(), format != Format::NF4);
        }
    }
}
