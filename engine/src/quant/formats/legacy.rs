//! The formats with one scale for 32 values: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
//!
//! `_0` formats are symmetric, `x = d · (q - offset)`; `_1` formats have a minimum, `x = d · q + m`.
//!
//! Byte `j` of `qs` holds the low four bits of code `j` in its low half and of code `j + 16` in its high
//! half. Bit `j` of `qh`, little-endian, is the fifth bit of code `j`.

use half::f16;

/// Scale and codes of `x = d · (q - offset)`. The value farthest from 0 gets code 0, whatever its sign, because
/// the range reaches one step further there; so `d` has the opposite sign.
pub(super) fn symmetric(values: &[f32; 32], offset: u8) -> (f32, [u8; 32]) {
    let extreme = values.iter().fold(0.0, |max: f32, &x| if max.abs() < x.abs() { x } else { max });
    let d = extreme / -f32::from(offset);
    let inverse = reciprocal(d);
    let half_up = f32::from(offset) + 0.5;
    (d, values.map(|x| ((x * inverse + half_up) as u8).min(2 * offset - 1)))
}

/// The values of the codes of [`symmetric`].
pub(super) fn symmetric_values(d: f16, codes: [u8; 32], offset: u8) -> [f32; 32] {
    let d = d.to_f32();
    codes.map(|q| (i32::from(q) - i32::from(offset)) as f32 * d)
}

/// Scale, minimum and codes of `x = d · q + min`.
pub(super) fn affine(values: &[f32; 32], max_code: u8) -> (f32, f32, [u8; 32]) {
    let min = values.iter().fold(f32::MAX, |min, &x| if x < min { x } else { min });
    let max = values.iter().fold(f32::MIN, |max, &x| if x > max { x } else { max });
    let d = (max - min) / f32::from(max_code);
    let inverse = reciprocal(d);
    (d, min, values.map(|x| (((x - min) * inverse + 0.5) as u8).min(max_code)))
}

/// The values of the codes of [`affine`].
pub(super) fn affine_values(d: f16, m: f16, codes: [u8; 32]) -> [f32; 32] {
    let (d, m) = (d.to_f32(), m.to_f32());
    codes.map(|q| f32::from(q) * d + m)
}

/// `1 / d`, or 0 where there is nothing to scale.
pub(super) fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

pub(super) fn pack_low(codes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|j| (codes[j] & 0xf) | (codes[j + 16] << 4))
}

/// Two loops without a condition in them, which become two vectors: loading a model comes through here.
#[inline]
pub(super) fn unpack_low(qs: &[u8; 16]) -> [u8; 32] {
    let mut codes = [0; 32];
    let (low, high) = codes.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(qs) {
        *low = byte & 0xf;
        *high = byte >> 4;
    }
    codes
}

pub(super) fn pack_high(codes: &[u8; 32]) -> [u8; 4] {
    let bits = (0..32).fold(0, |bits, j| bits | (u32::from(codes[j] >> 4) << j));
    bits.to_le_bytes()
}

/// Codes of five bits.
#[inline]
pub(super) fn unpack(qs: &[u8; 16], qh: [u8; 4]) -> [u8; 32] {
    let low = unpack_low(qs);
    let bits = u32::from_le_bytes(qh);
    std::array::from_fn(|j| low[j] | (((bits >> j) & 1) as u8) << 4)
}
