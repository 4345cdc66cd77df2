//! The formats of 256 values with two levels of scales: Q4_K, Q5_K, Q6_K.
//!
//! A block is split into groups; a group's scale is a small integer times the block's f16. What is here is what Q4_K
//! and Q5_K have in common: everything but how many bits a code has.

use half::f16;

use super::UnpackedBlock;
use super::fit::{self, Search, nearest_int};

/// Scales and codes of `x ≈ d · scale · q - dmin · min`, with scale and min, 6 bits each, for every 32 values.
pub(super) struct Affine {
    pub d: f16,
    pub dmin: f16,
    /// See [`scale_and_min`].
    pub scales: [u8; 12],
    pub codes: [u8; 256],
}

impl Affine {
    pub fn fit(values: &[f32; 256], search: &Search) -> Self {
        let (groups, _) = values.as_chunks::<32>();
        let mut codes = [0; 256];
        let (mut group_scales, mut group_mins) = ([0.0; 8], [0.0; 8]);
        for (((values, codes), scale), min) in
            groups.iter().zip(codes.as_chunks_mut::<32>().0).zip(&mut group_scales).zip(&mut group_mins)
        {
            (*scale, *min, *codes) = fit::affine(values, search);
        }

        let (max_scale, scales) = six_bits(&group_scales);
        let (max_min, mins) = six_bits(&group_mins);
        let (d, dmin) = (f16::from_f32(max_scale / 63.0), f16::from_f32(max_min / 63.0));
        // Scales and minima have lost bits since the fit, so the codes are chosen again.
        for (group, (values, codes)) in groups.iter().zip(codes.as_chunks_mut::<32>().0).enumerate() {
            let step = d.to_f32() * f32::from(scales[group]);
            let min = dmin.to_f32() * f32::from(mins[group]);
            if step != 0.0 {
                *codes = values.map(|x| search.code((x + min) / step));
            }
        }
        Self { d, dmin, scales: pack_scales(&scales, &mins), codes }
    }

    /// The values of the codes.
    pub fn values(&self) -> [f32; 256] {
        let mut values = [0.0; 256];
        let (codes, _) = self.codes.as_chunks::<32>();
        for (group, (values, codes)) in values.as_chunks_mut::<32>().0.iter_mut().zip(codes).enumerate() {
            let (scale, min) = scale_and_min(&self.scales, group);
            let (step, min) = (self.d.to_f32() * f32::from(scale), self.dmin.to_f32() * f32::from(min));
            *values = codes.map(|code| step * f32::from(code) - min);
        }
        values
    }

    pub fn unpacked(self) -> UnpackedBlock {
        let mut integers = [0; 16];
        integers[..12].copy_from_slice(&self.scales);
        UnpackedBlock { codes: self.codes, d: self.d, m: self.dmin, integers }
    }

    /// The inverse of [`Affine::unpacked`].
    pub fn of(block: &UnpackedBlock) -> Self {
        let scales = *block.integers.first_chunk().expect("12 of 16");
        Self { d: block.d, dmin: block.m, scales, codes: block.codes }
    }
}

/// The largest of `values`, none of which is below 0, and each as 63rds of it.
fn six_bits(values: &[f32; 8]) -> (f32, [u8; 8]) {
    let max = values.iter().fold(0.0, |max: f32, x| max.max(*x));
    let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
    (max, values.map(|x| (nearest_int(inverse * x) as u8).min(63)))
}

/// Scale and minimum of a group, 0 to 7, out of their packed form (ggml's `get_scale_min_k4`).
///
/// Groups 0 to 3 have theirs in the low six bits of bytes 0..4 and 4..8. Groups 4 to 7 have the low four bits of
/// theirs in bytes 8..12, and the high two in the bits that groups 0 to 3 left.
pub(in crate::quant) fn scale_and_min(scales: &[u8; 12], group: usize) -> (u8, u8) {
    if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let low = scales[group + 4];
        ((low & 0xf) | (scales[group - 4] >> 6) << 4, (low >> 4) | (scales[group] >> 6) << 4)
    }
}

fn pack_scales(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|byte| match byte {
        0..4 => scales[byte] | (scales[byte + 4] >> 4) << 6,
        4..8 => mins[byte - 4] | (mins[byte] >> 4) << 6,
        _ => (scales[byte - 4] & 0xf) | (mins[byte - 4] & 0xf) << 4,
    })
}

/// The low four bits of codes: for each pair of groups 32 bytes, the first group's codes in the low halves, the
/// second's in the high.
pub(super) fn pack_pairs(codes: &[u8; 256]) -> [u8; 128] {
    std::array::from_fn(|byte| {
        let first = 64 * (byte / 32) + byte % 32;
        (codes[first] & 0xf) | (codes[first + 32] << 4)
    })
}

/// The inverse of [`pack_pairs`].
pub(super) fn unpack_pairs(qs: &[u8; 128]) -> [u8; 256] {
    let mut codes = [0; 256];
    for (codes, qs) in codes.chunks_exact_mut(64).zip(qs.chunks_exact(32)) {
        for (j, byte) in qs.iter().enumerate() {
            codes[j] = byte & 0xf;
            codes[j + 32] = byte >> 4;
        }
    }
    codes
}
