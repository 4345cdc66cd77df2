//! GGUF blocks to floats and back, for every format.

use rayon::prelude::*;

use super::Format;
use super::formats::{FormatSpec, GgufBlock, GgufBlocks};
use crate::error::EngineError;

/// Elements that one task works on at least, so that handing it out costs little.
const GRAIN: usize = 16 * 1024;

/// Whether the scale and the minimum of every GGUF block are finite numbers, so that all values are. (NF4 has no such
/// blocks: false.)
pub fn has_finite_scales(format: Format, blocks: &[u8]) -> bool {
    let halves = if format.has_minimum() { 2 } else { 1 };
    let Some(GgufBlocks { scale_at, .. }) = &format.spec().blocks else { return false };
    let finite = |block: &[u8]| {
        let halves = block[*scale_at..].as_chunks::<2>().0[..halves].iter();
        halves.fold(true, |all, half| all & (u16::from_le_bytes(*half) & 0x7c00 != 0x7c00))
    };
    let blocks = blocks.par_chunks_exact(format.block_bytes() * (GRAIN / format.block_len()));
    blocks.remainder().chunks_exact(format.block_bytes()).all(finite)
        && blocks.all(|some| some.chunks_exact(format.block_bytes()).all(finite))
}

/// Quantizes `values` to GGUF blocks, byte for byte as ggml's reference quantizers do
/// (`quantize_row_*_ref`; no importance matrix, no fused multiply-add).
///
/// A scale is kept as f16, so a block whose scale is below f16's smallest number dequantizes to zeros (or to its
/// minimum), and one whose scale or minimum is above its largest, 65504, to NaN or infinities. So does one with an
/// infinity in it. (In Q6_K, magnitudes above about 1e12 overflow the fit, and their group becomes zeros.)
///
/// A NaN among numbers becomes one of its block's values, 0 in Q8_0, and leaves the others what they are; in the
/// K formats its group is fitted to its range without a search (Q4_K, Q5_K) or becomes zeros (Q6_K). Only then, and
/// where a scale is so small that its reciprocal overflows, may bytes differ from ggml's, which are undefined there.
///
/// # Errors
/// [`EngineError::Shape`] if `values` is not a whole number of blocks, or the format is NF4, which has no
/// blocks (see [`Nf4`](super::Nf4)).
pub fn quantize(format: Format, values: &[f32]) -> Result<Vec<u8>, EngineError> {
    (blocks_of(format)?.quantize)(format.spec(), values)
}

/// Dequantizes GGUF blocks, bit for bit as ggml does (`dequantize_row_*`).
///
/// # Errors
/// [`EngineError::Shape`] if `bytes` is not a whole number of blocks, or the format is NF4, which has no
/// blocks (see [`Nf4`](super::Nf4)).
pub fn dequantize(format: Format, bytes: &[u8]) -> Result<Vec<f32>, EngineError> {
    (blocks_of(format)?.dequantize)(format.spec(), bytes)
}

/// The functions of the format's blocks.
fn blocks_of(format: Format) -> Result<&'static GgufBlocks, EngineError> {
    format.spec().blocks.as_ref().ok_or_else(|| EngineError::Shape {
        what: format.name().into(),
        reason: "has no GGUF blocks; use engine::quant::Nf4".into(),
    })
}

/// [`quantize`] to blocks of one type.
pub(super) fn encode<B: GgufBlock<LEN>, const LEN: usize>(
    format: &FormatSpec,
    values: &[f32],
) -> Result<Vec<u8>, EngineError> {
    let (values, rest) = values.as_chunks::<LEN>();
    if !rest.is_empty() {
        return Err(not_whole(format, values.len() * LEN + rest.len(), "values", LEN));
    }
    let mut bytes = vec![0; values.len() * size_of::<B>()];
    bytes
        .par_chunks_exact_mut(size_of::<B>())
        .zip(values)
        .with_min_len(GRAIN / LEN)
        .for_each(|(bytes, values)| bytes.copy_from_slice(bytemuck::bytes_of(&B::quantize(values))));
    Ok(bytes)
}

/// [`dequantize`] of blocks of one type.
pub(super) fn decode<B: GgufBlock<LEN>, const LEN: usize>(
    format: &FormatSpec,
    bytes: &[u8],
) -> Result<Vec<f32>, EngineError> {
    if !bytes.len().is_multiple_of(size_of::<B>()) {
        return Err(not_whole(format, bytes.len(), "bytes", size_of::<B>()));
    }
    let mut values = vec![0.0; bytes.len() / size_of::<B>() * LEN];
    values
        .as_chunks_mut::<LEN>()
        .0
        .par_iter_mut()
        .zip(bytes.par_chunks_exact(size_of::<B>()))
        .with_min_len(GRAIN / LEN)
        // Unaligned, because a tensor may start anywhere in a mapped file.
        .for_each(|(values, bytes)| *values = bytemuck::pod_read_unaligned::<B>(bytes).dequantize());
    Ok(values)
}

fn not_whole(format: &FormatSpec, len: usize, unit: &str, block: usize) -> EngineError {
    EngineError::Shape {
        what: format!("{} blocks", format.name),
        reason: format!("{len} {unit} are not a multiple of the {block} in a block"),
    }
}
