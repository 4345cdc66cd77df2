//! The numbers behind packed words. Every format but NF4 is affine in groups of columns:
//! `value = scale · code + min`, with `scale` and `min` exactly as ggml computes them.

use super::formats::k_quants::scale_and_min;
use super::formats::nf4::{self, NF4_CODE};
use super::formats::{LONGEST, ScaleKind};
use super::layout::Layout;
use super::{Format, pack};

/// Scale and minimum of the group of columns `group` (of [`Format::group_len`] columns) in `row`.
/// For NF4, the scale multiplies its code table and the minimum is 0.
pub(crate) fn group_scale(layout: Layout, words: &[u32], row: usize, group: usize) -> (f32, f32) {
    let format = layout.format();
    let block = group / (format.block_len() / format.group_len());
    if format.scale_kind() == ScaleKind::Nested {
        return (nf4::packed_scale(layout, words, row, block), 0.0);
    }
    let (d, m) = pack::scales(layout, words, row, block);
    let (d, m) = (d.to_f32(), m.to_f32());
    let offset = format.offset() as f32;
    match format.scale_kind() {
        ScaleKind::Half => (d, -offset * d),
        ScaleKind::SixBitPairs => {
            let (scale, min) = factors(layout, words, row, group);
            (d * scale as f32, -(m * min as f32))
        }
        ScaleKind::SignedBytes => {
            let scale = d * factors(layout, words, row, group).0 as f32;
            (scale, -offset * scale)
        }
        ScaleKind::HalfPair | ScaleKind::Nested => (d, m),
    }
}

/// The integers by which a k-quant's group of columns multiplies the scale and the minimum of its super-block.
pub(crate) fn factors(layout: Layout, words: &[u32], row: usize, group: usize) -> (i32, i32) {
    let format = layout.format();
    let per_block = format.block_len() / format.group_len();
    let (bytes, sub) = (pack::group_integers(layout, words, row, group / per_block), group % per_block);
    match format.scale_kind() {
        ScaleKind::SignedBytes => (i32::from(bytes[sub] as i8), 0),
        _ => {
            let (scale, min) = scale_and_min(bytes.first_chunk().expect("12 of 16"), sub);
            (i32::from(scale), i32::from(min))
        }
    }
}

/// One row as f32, `out [cols]`.
pub(crate) fn dequantize_row(layout: Layout, words: &[u32], row: usize, out: &mut [f32]) {
    let block_len = layout.format().block_len();
    let group_len = layout.format().group_len();
    let mut codes = [0u8; LONGEST];
    for (block, out) in out.chunks_exact_mut(block_len).enumerate() {
        pack::get_codes(layout, words, row, block, &mut codes);
        for (sub, (out, codes)) in
            out.chunks_exact_mut(group_len).zip(codes.chunks_exact(group_len)).enumerate()
        {
            let (scale, min) = group_scale(layout, words, row, block * (block_len / group_len) + sub);
            for (out, code) in out.iter_mut().zip(codes) {
                *out = value(layout.format(), *code, scale, min);
            }
        }
    }
}

/// What a code stands for in a group of this scale and minimum.
pub(crate) fn value(format: Format, code: u8, scale: f32, min: f32) -> f32 {
    match format.scale_kind() {
        ScaleKind::Nested => NF4_CODE[usize::from(code)] * scale,
        _ => scale * f32::from(code) + min,
    }
}
