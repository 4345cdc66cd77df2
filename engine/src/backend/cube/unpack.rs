//! Packed words to numbers, a row's 8 columns at a time: the inverse of what [`Layout`] describes.

use burn_cubecl::CubeDevice;
use cubecl::prelude::*;
use cubecl::server::Handle;
use std::sync::Mutex;

use crate::quant::formats::ScaleKind;
use crate::quant::{Layout, NF4_CODE, TILE, dynamic_map};

/// Columns that are unpacked together: a word of 4-bit codes.
pub(super) const EIGHT: usize = 8;
/// NF4's values, then those of the bytes of its scales.
const TABLE: usize = 16 + 256;

/// The device's copy of the tables that NF4 is read by, made once.
pub(super) fn tables(device: &CubeDevice) -> BufferArg {
    static TABLES: Mutex<Vec<(CubeDevice, Handle)>> = Mutex::new(Vec::new());
    let mut tables = TABLES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let handle = match tables.iter().find(|(other, _)| other == device) {
        Some((_, handle)) => handle.clone(),
        None => {
            let values: Vec<f32> = NF4_CODE.iter().chain(dynamic_map()).copied().collect();
            let handle = device.client().create_from_slice(f32::as_bytes(&values));
            tables.push((device.clone(), handle.clone()));
            handle
        }
    };
    // SAFETY: the buffer has been made of that many numbers.
    unsafe { BufferArg::from_raw_parts(handle, TABLE) }
}

/// Where a unit reads: 8 columns of a row of a tile.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    pub tile: usize,
    /// The row within its tile.
    pub lane: usize,
    /// Of the row's columns, in eights.
    pub eight: usize,
}

/// The codes of 8 columns as they are packed.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Codes {
    /// The low 4 bits of all; of 8-bit codes those of the first four columns.
    low: u32,
    /// Of 8-bit codes those of the last four columns.
    rest: u32,
    /// 5 and 6 bits: the high ones, shifted so that the first column's come first.
    high: u32,
}

/// Factor and addend of the codes of 8 columns.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Affine {
    pub scale: f32,
    pub min: f32,
}

/// Reads the codes.
#[cube]
pub(super) fn codes(words: &[u32], place: &Place, #[comptime] layout: Layout) -> Codes {
    let (tile, lane, eight) = (place.tile, place.lane, place.eight);
    let first = tile * comptime!(layout.tile_codes()) + lane;
    let bits = comptime!(layout.format().code_bits());
    let high_start = comptime!(layout.high().start);
    let high_at = high_start + tile * comptime!(layout.tile_high()) + lane;
    let each = comptime!(if bits == 8 { 2 } else { 1 }); // words of 8 codes' low bits
    let low = words[first + each * eight * TILE];
    let rest = words[first + (each * eight + each - 1) * TILE];
    let mut high = 0u32;
    if comptime!(bits == 5) {
        high = words[high_at + eight / 4 * TILE] >> (2 * u32::cast_from(eight % 4));
    } else if comptime!(bits == 6) {
        high = words[high_at + eight / 2 * TILE] >> (4 * u32::cast_from(eight % 2));
    }
    Codes { low, rest, high }
}

/// The code of one of the 8 columns.
#[cube]
pub(super) fn code(codes: &Codes, #[comptime] column: u32, #[comptime] layout: Layout) -> u32 {
    let bits = comptime!(layout.format().code_bits());
    let byte = comptime!(8 * (column % 4));
    let half = comptime!(column / 4);
    if comptime!(bits == 8) {
        let word = if comptime!(half == 0) { codes.low } else { codes.rest };
        (word >> byte) & 255
    } else {
        let low = (codes.low >> comptime!(byte + 4 * half)) & 15;
        if comptime!(bits == 5) {
            low | (((codes.high >> comptime!(byte + half)) & 1) << 4)
        } else if comptime!(bits == 6) {
            low | (((codes.high >> comptime!(byte + 2 * half)) & 3) << 4)
        } else {
            low
        }
    }
}

/// What a code stands for.
#[cube]
pub(super) fn value(code: u32, affine: &Affine, tables: &[f32], #[comptime] layout: Layout) -> f32 {
    if comptime!(layout.format().scale_kind() == ScaleKind::Nested) {
        tables[code as usize] * affine.scale
    } else {
        affine.scale * f32::cast_from(code) + affine.min
    }
}

/// Reads the scale of the codes: that of the group in which the 8 columns lie.
#[cube]
pub(super) fn affine(words: &[u32], tables: &[f32], place: &Place, #[comptime] layout: Layout) -> Affine {
    let (tile, lane, eight) = (place.tile, place.lane, place.eight);
    let kind = comptime!(layout.format().scale_kind());
    let block = eight / comptime!(layout.format().block_len() / EIGHT);
    let offset = comptime!(layout.format().offset() as f32);
    let subs_start = comptime!(layout.sub_scales().start);
    let subs = subs_start + tile * comptime!(layout.tile_sub_scales());
    let scales_start = comptime!(layout.scales().start);
    let scales = scales_start + tile * comptime!(layout.tile_scales());
    let mut min = 0.0f32;
    let scale = if comptime!(kind == ScaleKind::Nested) {
        let word = words[subs + block * 4 + lane / 4];
        let byte = (word >> (8 * u32::cast_from(lane % 4))) & 255;
        let second = comptime!(layout.absmax2().start);
        let offset_at = comptime!(layout.absmax2().end - 1);
        // Rows that only fill the last tile read the last scale.
        let row = tile * TILE + lane;
        let owner = clamp_max(
            (row * comptime!(layout.blocks()) + block) / 256,
            comptime!(layout.absmax2().len() - 2),
        );
        let absmax2 = f32::reinterpret(words[second + owner]);
        tables[16 + byte as usize] * absmax2 + f32::reinterpret(words[offset_at])
    } else if comptime!(layout.format().has_minimum()) {
        let word = words[scales + block * TILE + lane];
        let d = half_bits(word & 0xffff);
        let m = half_bits(word >> 16);
        if comptime!(kind == ScaleKind::SixBitPairs) {
            let sub = u32::cast_from(eight / 4) % 8;
            let shift = 8 * (sub % 4);
            let at = subs + block * 3 * TILE + lane;
            let a = (words[at] >> shift) & 255;
            let b = (words[at + TILE] >> shift) & 255;
            let c = (words[at + 2 * TILE] >> shift) & 255;
            let first = sub < 4;
            let six = select(first, a & 63, (c & 15) | ((a >> 6) << 4));
            let six_min = select(first, b & 63, (c >> 4) | ((b >> 6) << 4));
            min = -(m * f32::cast_from(six_min));
            d * f32::cast_from(six)
        } else {
            min = m;
            d
        }
    } else {
        let word = words[scales + block * comptime!(TILE / 2) + lane / 2];
        let d = half_bits((word >> (16 * u32::cast_from(lane % 2))) & 0xffff);
        let scale = if comptime!(kind == ScaleKind::SignedBytes) {
            let sub = eight / 2 % 16;
            let word = words[subs + (block * 4 + sub / 4) * TILE + lane];
            let byte = (word >> (8 * u32::cast_from(sub % 4))) & 255;
            d * (f32::cast_from(byte) - select(byte > 127, 256.0f32, 0.0f32))
        } else {
            d
        };
        min = -offset * scale;
        scale
    };
    Affine { scale, min }
}

/// The smaller of both.
#[cube]
fn clamp_max(value: usize, largest: usize) -> usize {
    select(value < largest, value, largest)
}

/// A 16-bit float, which is finite, from its bits: not every device has the type.
#[cube]
fn half_bits(bits: u32) -> f32 {
    let exponent = (bits >> 10) & 31;
    let mantissa = bits & 1023;
    let normal = f32::reinterpret(((exponent + 112) << 23) | (mantissa << 13));
    let small = f32::cast_from(mantissa) * 5.960_464_5e-8f32; // 2⁻²⁴
    let magnitude = select(exponent == 0, small, normal);
    select((bits >> 15) == 1, -magnitude, magnitude)
}
