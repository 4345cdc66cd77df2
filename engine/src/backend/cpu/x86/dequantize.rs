//! Weights as f32.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::lanes::Avx2;
use super::packed_tile::{DecodedScales, PackedTile, STRETCH};
use crate::backend::cpu::instructions::has_avx2;
use crate::backend::cpu::operands::activations_q16::{BLOCK_COLUMNS, QUAD};
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::quant::decode::group_scale;
use crate::quant::formats::ScaleKind;
use crate::quant::{Layout, NF4_CODE, TILE};

/// See [`crate::backend::cpu::matmul::dispatch::decode`]; at most [`STRETCH`] blocks.
pub(crate) fn decode(
    offsets: &PackedOffsets,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    let layout = offsets.layout();
    assert!(has_avx2() && words.len() >= offsets.words() && tile < offsets.tiles());
    assert!(
        blocks.end <= layout.cols() / BLOCK_COLUMNS
            && blocks.len() <= STRETCH
            && blocks.len() * BLOCK_COLUMNS <= out.len()
    );
    // SAFETY: the instructions exist, `words` holds the layout, tile and blocks are of the matrix.
    unsafe {
        match layout.format().code_bits() {
            5 => blocks_of::<5>(offsets, words, tile, blocks, out),
            6 => blocks_of::<6>(offsets, words, tile, blocks, out),
            8 => blocks_of::<8>(offsets, words, tile, blocks, out),
            _ => blocks_of::<4>(offsets, words, tile, blocks, out),
        }
    }
}

/// # Safety
/// As [`decode`] asserts.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn blocks_of<const BITS: u8>(
    offsets: &PackedOffsets,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    let layout = offsets.layout();
    let kind = layout.format().scale_kind();
    let weights = PackedTile::<BITS>::new(offsets, words, tile, kind);
    // SAFETY: blocks of this tile, and 8 places of a column.
    unsafe {
        let offset = _mm256_set1_ps(-(weights.offset as f32));
        let table = [_mm256_loadu_ps(NF4_CODE.as_ptr()), _mm256_loadu_ps(NF4_CODE.as_ptr().add(8))];
        let mut scales = MaybeUninit::<DecodedScales>::uninit();
        let scales = scales.as_mut_ptr();
        let nested = kind == ScaleKind::Nested;
        match nested {
            true => nf4_scales(layout, words, tile, blocks.clone(), scales),
            false => weights.decode_scales::<Avx2>(blocks.clone(), scales),
        }
        for ((index, block), out) in blocks.enumerate().zip(out.chunks_exact_mut(BLOCK_COLUMNS)) {
            for (eight, out) in out.chunks_exact_mut(8).enumerate() {
                let group = index * PackedTile::<BITS>::GROUPS + eight * PackedTile::<BITS>::GROUPS / 4;
                let codes = weights.eight_columns::<Avx2>(block, eight);
                for half in 0..2 {
                    let scale = _mm256_loadu_ps((*scales).scale[group].as_ptr().add(8 * half));
                    let min = match weights.has_minimum() {
                        true => _mm256_loadu_ps((*scales).min[group].as_ptr().add(8 * half)),
                        false => _mm256_mul_ps(scale, offset),
                    };
                    for (pair, codes) in codes.iter().enumerate() {
                        let low = _mm256_and_si256(codes[half], _mm256_set1_epi32(0xffff));
                        let high = _mm256_srli_epi32::<16>(codes[half]);
                        for (place, code) in [low, high].into_iter().enumerate() {
                            let value = match nested {
                                true => _mm256_mul_ps(nf4_code(&table, code), scale),
                                // Two roundings, as ggml's: not fused.
                                false => _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(code), scale), min),
                            };
                            let column = pair / 2 * 4 + QUAD[2 * (pair % 2) + place];
                            _mm256_storeu_ps(out[column].as_mut_ptr().add(8 * half), value);
                        }
                    }
                }
            }
        }
    }
}

/// `table[codes]`, a table of 16.
#[inline(always)]
unsafe fn nf4_code(table: &[__m256; 2], codes: __m256i) -> __m256 {
    // SAFETY: the caller's instructions.
    unsafe {
        let low = _mm256_permutevar8x32_ps(table[0], codes);
        let high = _mm256_permutevar8x32_ps(table[1], codes);
        _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(codes)))
    }
}

#[inline(always)]
pub(crate) unsafe fn nf4_scales(
    layout: Layout,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: *mut DecodedScales,
) {
    let rows = TILE.min(layout.rows() - tile * TILE);
    for (index, block) in blocks.enumerate() {
        let mut scales = [0f32; TILE];
        for (lane, scale) in scales[..rows].iter_mut().enumerate() {
            *scale = group_scale(layout, words, tile * TILE + lane, block / 2).0;
        }
        // SAFETY: the caller's memory.
        unsafe { (*out).scale[index] = scales };
    }
}
