//! One file per format: the block as a file stores it, its numbers, and how values become codes and codes values.
//! What only differs in numbers is shared: [`legacy`] by the formats with one scale a block, [`k_quants`] by those
//! with two levels of scales.

use bytemuck::Pod;
use half::f16;

use super::blocks::{decode, encode};
use crate::error::EngineError;

mod fit;
pub(super) mod k_quants;
mod legacy;
pub(crate) mod nf4;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub(super) use nf4::NF4;
pub(super) use q4_0::Q4_0;
pub(super) use q4_1::Q4_1;
pub(super) use q4_k::Q4_K;
pub(super) use q5_0::Q5_0;
pub(super) use q5_1::Q5_1;
pub(super) use q5_k::Q5_K;
pub(super) use q6_k::Q6_K;
pub(super) use q8_0::Q8_0;

/// Values of the longest block.
pub(crate) const LONGEST: usize = 256;

/// What code that serves every format needs to know of one.
#[derive(Debug)]
pub(crate) struct FormatSpec {
    /// ggml's name.
    pub name: &'static str,
    /// Values of a block.
    pub block_len: usize,
    /// Bytes of a block on disk.
    pub block_bytes: usize,
    /// Values that share one scale and minimum.
    pub group_len: usize,
    /// Bits of a code: 4, 5, 6 or 8.
    pub code_bits: u8,
    /// What is subtracted from an unsigned code, where values lie symmetrically around 0.
    pub offset: u8,
    /// How codes become values.
    pub scale_kind: ScaleKind,
    /// The blocks of a GGUF file, where the format is one of ggml's.
    pub blocks: Option<GgufBlocks>,
}

/// What a code is multiplied by, and what is added then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleKind {
    /// `d · (code - offset)`: an f16 a block.
    Half,
    /// `d · code + m`: two f16 a block.
    HalfPair,
    /// `d · scale · code - m · min`: two f16 a block, two integers of six bits a group.
    SixBitPairs,
    /// `d · scale · (code - offset)`: an f16 a block, a signed byte a group.
    SignedBytes,
    /// `NF4_CODE[code] · (dynamic_map[absmax] · absmax2 + offset)`: a byte a block, an f32 for 256 of them.
    Nested,
}

impl ScaleKind {
    /// Whether a block stores a minimum beside its scale.
    #[inline(always)]
    pub const fn has_minimum(self) -> bool {
        matches!(self, Self::HalfPair | Self::SixBitPairs)
    }

    /// 32-bit words of a block's integers, a group's after the other's.
    pub const fn integer_words(self) -> usize {
        match self {
            Self::SixBitPairs => 3,
            Self::SignedBytes => 4,
            Self::Half | Self::HalfPair | Self::Nested => 0,
        }
    }
}

/// `LEN` values as a GGUF file stores them.
pub(crate) trait GgufBlock<const LEN: usize>: Pod + Send + Sync {
    /// The block that ggml's reference quantizer makes of `values`.
    fn quantize(values: &[f32; LEN]) -> Self;

    /// The values that ggml's dequantizer makes of the block.
    fn dequantize(&self) -> [f32; LEN];

    /// The block taken apart.
    fn unpack(&self) -> UnpackedBlock;

    /// The inverse of [`GgufBlock::unpack`].
    fn repack(block: &UnpackedBlock) -> Self;
}

/// A block of whichever format: codes as unsigned numbers, scales as they are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnpackedBlock {
    /// As many as the block has values, then zeros.
    pub codes: [u8; LONGEST],
    pub d: f16,
    /// 0 where the format has none.
    pub m: f16,
    /// The groups' integers, as many bytes as the format has.
    pub integers: [u8; 16],
}

impl UnpackedBlock {
    /// A block without groups.
    #[inline]
    fn new(codes: [u8; 32], d: f16, m: f16) -> Self {
        let mut block = Self { codes: [0; LONGEST], d, m, integers: [0; 16] };
        block.codes[..32].copy_from_slice(&codes);
        block
    }

    /// The codes of a block without groups.
    fn short_codes(&self) -> &[u8; 32] {
        self.codes.first_chunk().expect("32 of 256")
    }
}

/// The functions of a [`GgufBlock`], for whoever learns the format from a file.
#[derive(Debug)]
pub(crate) struct GgufBlocks {
    /// Where the scale's f16 lies in a block; a minimum's follows it.
    pub scale_at: usize,
    pub quantize: fn(&FormatSpec, &[f32]) -> Result<Vec<u8>, EngineError>,
    pub dequantize: fn(&FormatSpec, &[u8]) -> Result<Vec<f32>, EngineError>,
    /// One block's bytes taken apart.
    pub unpack: fn(&[u8]) -> UnpackedBlock,
    /// The inverse, to one block's bytes.
    pub repack: fn(&UnpackedBlock, &mut [u8]),
}

impl GgufBlocks {
    const fn of<B: GgufBlock<LEN>, const LEN: usize>(scale_at: usize) -> Self {
        Self {
            scale_at,
            quantize: encode::<B, LEN>,
            dequantize: decode::<B, LEN>,
            // Unaligned, because a tensor may start anywhere in a mapped file.
            unpack: |bytes| bytemuck::pod_read_unaligned::<B>(bytes).unpack(),
            repack: |block, bytes| bytes.copy_from_slice(bytemuck::bytes_of(&B::repack(block))),
        }
    }
}

// Blocks are read and written as the host lays them out, and files are little-endian.
const _: () = assert!(cfg!(target_endian = "little"));
