//! The formats of 256 values with two levels of scales: Q4_K, Q5_K, Q6_K.
//!
//! A block is split into groups; a group's scale is a small integer times the block's f16.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::blocks::Block;
use super::fit::{self, Search, nearest_int};

/// `x = d · scale · q - dmin · min`, q in 0..16; scale and min, 6 bits each, for every 32 values.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_K {
    pub(crate) d: f16,
    pub(crate) dmin: f16,
    /// See [`scale_and_min`].
    pub(crate) scales: [u8; 12],
    /// For each pair of groups 32 bytes: the first group's codes in the low halves, the second's in the high.
    pub(crate) qs: [u8; 128],
}
const _: () = assert!(size_of::<BlockQ4_K>() == 144);

/// As [`BlockQ4_K`], q in 0..32.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_K {
    pub(crate) d: f16,
    pub(crate) dmin: f16,
    /// See [`scale_and_min`].
    pub(crate) scales: [u8; 12],
    /// The fifth bits: bit `g` of byte `i` belongs to value `i` of group `g`.
    pub(crate) qh: [u8; 32],
    /// The low four bits, laid out as in [`BlockQ4_K`].
    pub(crate) qs: [u8; 128],
}
const _: () = assert!(size_of::<BlockQ5_K>() == 176);

/// `x = d · scale · (q - 32)`, q in 0..64; scale, signed 8 bits, for every 16 values.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ6_K {
    /// The low four bits: for each half of the block 64 bytes, whose low halves hold its first 64 codes and
    /// whose high halves hold its last 64.
    pub(crate) ql: [u8; 128],
    /// The high two bits: for each half of the block 32 bytes; bits `2r` and `2r + 1` of byte `i` belong to its
    /// code `32r + i`.
    pub(crate) qh: [u8; 64],
    pub(crate) scales: [i8; 16],
    pub(crate) d: f16,
}
const _: () = assert!(size_of::<BlockQ6_K>() == 210);

impl Block<256> for BlockQ4_K {
    fn quantize(values: &[f32; 256]) -> Self {
        let Affine { d, dmin, scales, codes } =
            Affine::fit(values, &Search { max_code: 15, first: -1.0, steps: 20 });
        Self { d, dmin, scales, qs: pack_pairs(&codes) }
    }

    fn dequantize(&self) -> [f32; 256] {
        affine_values(self.d, self.dmin, &self.scales, |i| pair_code(&self.qs, i))
    }
}

impl Block<256> for BlockQ5_K {
    fn quantize(values: &[f32; 256]) -> Self {
        let Affine { d, dmin, scales, codes } =
            Affine::fit(values, &Search { max_code: 31, first: -0.5, steps: 15 });
        let qh = std::array::from_fn(|i| {
            (0..8).fold(0, |bits, group| bits | ((codes[32 * group + i] >> 4) << group))
        });
        Self { d, dmin, scales, qh, qs: pack_pairs(&codes) }
    }

    fn dequantize(&self) -> [f32; 256] {
        affine_values(self.d, self.dmin, &self.scales, |i| {
            pair_code(&self.qs, i) | ((self.qh[i % 32] >> (i / 32)) & 1) << 4
        })
    }
}

impl Block<256> for BlockQ6_K {
    fn quantize(values: &[f32; 256]) -> Self {
        let (groups, _) = values.as_chunks::<16>();
        let mut codes = [0; 256];
        let mut group_scales = [0.0; 16];
        for ((values, codes), scale) in
            groups.iter().zip(codes.as_chunks_mut::<16>().0).zip(&mut group_scales)
        {
            (*scale, *codes) = fit::symmetric(values);
        }
        let extreme: f32 = group_scales
            .iter()
            .fold(0.0, |max: f32, &scale| if scale.abs() > max.abs() { scale } else { max });
        if extreme.abs() < fit::NEGLIGIBLE {
            return Self::zeroed();
        }

        let inverse = -128.0 / extreme;
        let d = f16::from_f32(1.0 / inverse);
        let scales = group_scales.map(|scale| nearest_int(inverse * scale).min(127) as i8);
        for ((values, codes), scale) in groups.iter().zip(codes.as_chunks_mut::<16>().0).zip(scales) {
            let step = d.to_f32() * f32::from(scale);
            if step != 0.0 {
                *codes = values.map(|x| (nearest_int(x / step).clamp(-32, 31) + 32) as u8);
            }
        }
        let ql = std::array::from_fn(|byte| {
            let first = 128 * (byte / 64) + byte % 64;
            (codes[first] & 0xf) | (codes[first + 64] << 4)
        });
        let qh = std::array::from_fn(|byte| {
            let first = 128 * (byte / 32) + byte % 32;
            (0..4).fold(0, |bits, r| bits | ((codes[first + 32 * r] >> 4) << (2 * r)))
        });
        Self { ql, qh, scales, d }
    }

    fn dequantize(&self) -> [f32; 256] {
        let d = self.d.to_f32();
        std::array::from_fn(|i| {
            let (half, i_in_half) = (i / 128, i % 128);
            let low = self.ql[64 * half + i_in_half % 64] >> (4 * (i_in_half / 64));
            let high = self.qh[32 * half + i_in_half % 32] >> (2 * (i_in_half / 32));
            let code = (low & 0xf) | (high & 3) << 4;
            d * f32::from(self.scales[i / 16]) * (i32::from(code) - 32) as f32
        })
    }
}

/// What Q4_K and Q5_K have in common: everything but how many bits a code has.
struct Affine {
    d: f16,
    dmin: f16,
    scales: [u8; 12],
    codes: [u8; 256],
}

impl Affine {
    fn fit(values: &[f32; 256], search: &Search) -> Self {
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
}

/// The largest of `values`, none of which is below 0, and each as 63rds of it.
fn six_bits(values: &[f32; 8]) -> (f32, [u8; 8]) {
    let max = values.iter().fold(0.0, |max: f32, x| max.max(*x));
    let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
    (max, values.map(|x| (nearest_int(inverse * x) as u8).min(63)))
}

/// Scale and minimum of a group, 0 to 7, out of their packed form.
///
/// Groups 0 to 3 have theirs in the low six bits of bytes 0..4 and 4..8. Groups 4 to 7 have the low four bits of
/// theirs in bytes 8..12, and the high two in the bits that groups 0 to 3 left.
pub(crate) fn scale_and_min(scales: &[u8; 12], group: usize) -> (u8, u8) {
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

fn pack_pairs(codes: &[u8; 256]) -> [u8; 128] {
    std::array::from_fn(|byte| {
        let first = 64 * (byte / 32) + byte % 32;
        (codes[first] & 0xf) | (codes[first + 32] << 4)
    })
}

/// The low four bits of code `i`, packed by [`pack_pairs`].
fn pair_code(qs: &[u8; 128], i: usize) -> u8 {
    (qs[32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2))) & 0xf
}

fn affine_values(d: f16, dmin: f16, scales: &[u8; 12], code: impl Fn(usize) -> u8) -> [f32; 256] {
    let mut values = [0.0; 256];
    for (group, values) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(scales, group);
        let (step, min) = (d.to_f32() * f32::from(scale), dmin.to_f32() * f32::from(min));
        for (i, x) in values.iter_mut().enumerate() {
            *x = step * f32::from(code(32 * group + i)) - min;
        }
    }
    values
}
