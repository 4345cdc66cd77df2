//! The formats with one scale for 32 values: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
//!
//! `_0` formats are symmetric, `x = d · (q - zero)`; `_1` formats have a minimum, `x = d · q + m`.
//!
//! Byte `j` of `qs` holds the low four bits of code `j` in its low half and of code `j + 16` in its high
//! half. Bit `j` of `qh`, little-endian, is the fifth bit of code `j`.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::blocks::Block;

// Blocks are read and written as the host lays them out, and files are little-endian.
const _: () = assert!(cfg!(target_endian = "little"));

/// `x = d · (q - 8)`, q in 0..16.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_0 {
    pub(crate) d: f16,
    pub(crate) qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ4_0>() == 18);

/// `x = d · q + m`, q in 0..16.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ4_1 {
    pub(crate) d: f16,
    pub(crate) m: f16,
    pub(crate) qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ4_1>() == 20);

/// `x = d · (q - 16)`, q in 0..32.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_0 {
    pub(crate) d: f16,
    pub(crate) qh: [u8; 4],
    pub(crate) qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ5_0>() == 22);

/// `x = d · q + m`, q in 0..32.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ5_1 {
    pub(crate) d: f16,
    pub(crate) m: f16,
    pub(crate) qh: [u8; 4],
    pub(crate) qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ5_1>() == 24);

/// `x = d · q`, q in -127..=127.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BlockQ8_0 {
    pub(crate) d: f16,
    pub(crate) qs: [i8; 32],
}
const _: () = assert!(size_of::<BlockQ8_0>() == 34);

impl Block<32> for BlockQ4_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, codes) = symmetric(values, 8);
        Self { d: f16::from_f32(d), qs: pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let d = self.d.to_f32();
        unpack_low(&self.qs).map(|q| (i32::from(q) - 8) as f32 * d)
    }
}

impl Block<32> for BlockQ4_1 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, min, codes) = affine(values, 15);
        Self { d: f16::from_f32(d), m: f16::from_f32(min), qs: pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        unpack_low(&self.qs).map(|q| f32::from(q) * d + m)
    }
}

impl Block<32> for BlockQ5_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, codes) = symmetric(values, 16);
        Self { d: f16::from_f32(d), qh: pack_high(&codes), qs: pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let d = self.d.to_f32();
        unpack(&self.qs, self.qh).map(|q| (i32::from(q) - 16) as f32 * d)
    }
}

impl Block<32> for BlockQ5_1 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, min, codes) = affine(values, 31);
        Self { d: f16::from_f32(d), m: f16::from_f32(min), qh: pack_high(&codes), qs: pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let (d, m) = (self.d.to_f32(), self.m.to_f32());
        unpack(&self.qs, self.qh).map(|q| f32::from(q) * d + m)
    }
}

impl Block<32> for BlockQ8_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let amax = values.iter().fold(0.0, |amax: f32, x| amax.max(x.abs()));
        let d = amax / 127.0;
        let inverse = reciprocal(d);
        Self { d: f16::from_f32(d), qs: values.map(|x| (x * inverse).round() as i8) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let d = self.d.to_f32();
        self.qs.map(|q| f32::from(q) * d)
    }
}

/// Scale and codes of `x = d · (q - zero)`. The value farthest from 0 gets code 0, whatever its sign, because
/// the range reaches one step further there; so `d` has the opposite sign.
fn symmetric(values: &[f32; 32], zero: u8) -> (f32, [u8; 32]) {
    let extreme = values.iter().fold(0.0, |max: f32, &x| if max.abs() < x.abs() { x } else { max });
    let d = extreme / -f32::from(zero);
    let inverse = reciprocal(d);
    let half_up = f32::from(zero) + 0.5;
    (d, values.map(|x| ((x * inverse + half_up) as u8).min(2 * zero - 1)))
}

/// Scale, minimum and codes of `x = d · q + min`.
fn affine(values: &[f32; 32], max_code: u8) -> (f32, f32, [u8; 32]) {
    let min = values.iter().fold(f32::MAX, |min, &x| if x < min { x } else { min });
    let max = values.iter().fold(f32::MIN, |max, &x| if x > max { x } else { max });
    let d = (max - min) / f32::from(max_code);
    let inverse = reciprocal(d);
    (d, min, values.map(|x| (((x - min) * inverse + 0.5) as u8).min(max_code)))
}

/// `1 / d`, or 0 where there is nothing to scale.
fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

fn pack_low(codes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|j| (codes[j] & 0xf) | (codes[j + 16] << 4))
}

fn unpack_low(qs: &[u8; 16]) -> [u8; 32] {
    std::array::from_fn(|j| if j < 16 { qs[j] & 0xf } else { qs[j - 16] >> 4 })
}

fn pack_high(codes: &[u8; 32]) -> [u8; 4] {
    let bits = (0..32).fold(0, |bits, j| bits | (u32::from(codes[j] >> 4) << j));
    bits.to_le_bytes()
}

fn unpack(qs: &[u8; 16], qh: [u8; 4]) -> [u8; 32] {
    let low = unpack_low(qs);
    let bits = u32::from_le_bytes(qh);
    std::array::from_fn(|j| low[j] | (((bits >> j) & 1) as u8) << 4)
}
