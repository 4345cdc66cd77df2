//! The numbers behind packed words. Every format but NF4 is affine in groups of columns:
//! `value = scale · code + min`, with `scale` and `min` exactly as ggml computes them.

use half::f16;

use super::layout::Layout;
use super::{Format, NF4_CODE, dynamic_map, pack};

/// Scale and minimum of the group of columns `group` (of [`Format::group_len`] columns) in `row`.
/// For NF4, the scale multiplies its code table and the minimum is 0.
pub(crate) fn group_scale(layout: Layout, words: &[u32], row: usize, group: usize) -> (f32, f32) {
    let per_block = layout.format().block_len() / layout.format().group_len();
    let block = group / per_block;
    if layout.format() == Format::NF4 {
        let flat = row * layout.blocks() + block;
        let second = &words[layout.absmax2()];
        let offset = f32::from_bits(second[second.len() - 1]);
        let code = pack::nf4_absmax(layout, words, row, block);
        return (dynamic_map()[usize::from(code)] * f32::from_bits(second[flat / 256]) + offset, 0.0);
    }
    let (d, m) = pack::scale_bits(layout, words, row, block);
    let (d, m) = (f16::from_bits(d).to_f32(), f16::from_bits(m).to_f32());
    match layout.format() {
        Format::Q4_0 => (d, -8.0 * d),
        Format::Q5_0 => (d, -16.0 * d),
        Format::Q8_0 => (d, -128.0 * d),
        Format::Q4_K | Format::Q5_K => {
            let (scale, min) = factors(layout, words, row, group);
            (d * scale as f32, -(m * min as f32))
        }
        Format::Q6_K => {
            let scale = d * factors(layout, words, row, group).0 as f32;
            (scale, -32.0 * scale)
        }
        _ => (d, m),
    }
}

/// The integers by which a k-quant's group of columns multiplies the scale and the minimum of its super-block.
pub(crate) fn factors(layout: Layout, words: &[u32], row: usize, group: usize) -> (i32, i32) {
    let per_block = layout.format().block_len() / layout.format().group_len();
    let (bytes, sub) = (pack::sub_scale_bytes(layout, words, row, group / per_block), group % per_block);
    match layout.format() {
        Format::Q6_K => (i32::from(bytes[sub] as i8), 0),
        _ => {
            let (scale, min) = six_bit_pair(&bytes, sub);
            (i32::from(scale), i32::from(min))
        }
    }
}

/// The 6-bit scale and minimum of sub-block `sub` (ggml's `get_scale_min_k4`).
fn six_bit_pair(bytes: &[u8; 16], sub: usize) -> (u8, u8) {
    if sub < 4 {
        (bytes[sub] & 63, bytes[sub + 4] & 63)
    } else {
        ((bytes[sub + 4] & 15) | (bytes[sub - 4] >> 6) << 4, (bytes[sub + 4] >> 4) | (bytes[sub] >> 6) << 4)
    }
}

/// One row as f32, `out [cols]`.
pub(crate) fn dequantize_row(layout: Layout, words: &[u32], row: usize, out: &mut [f32]) {
    let block_len = layout.format().block_len();
    let group_len = layout.format().group_len();
    let mut codes = [0u8; 256];
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
    match format {
        Format::NF4 => NF4_CODE[usize::from(code)] * scale,
        _ => scale * f32::from(code) + min,
    }
}
