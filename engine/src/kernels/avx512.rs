//! AVX-512 with VNNI: 16 lanes are 16 output rows. One 64-byte load brings 8 columns of 16 rows, two
//! masks split its nibbles, and each `vpdpbusd` adds 4 products to every row's sum.

use std::arch::x86_64::*;

use super::activations::{Activations, BLOCK};
use super::{Kernel, Place, pool};
use crate::quant::decode::group_scale;
use crate::quant::{Format, Layout, NF4_CODE, TILE};

/// Rows of activations that share one pass over a tile's weights.
const TOKENS: usize = 8;

/// Whether the machine has the instructions.
fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// The product, where the machine has the instructions.
pub(super) fn kernel() -> Option<Kernel> {
    available().then_some(Kernel { run, digits: true })
}

/// `Wᵀ [cols, rows]` in f32, where the machine has the instructions.
pub(super) fn dequantize_columns(layout: Layout, words: &[u32]) -> Option<Vec<f32>> {
    if !available() {
        return None;
    }
    assert!(words.len() >= layout.words());
    let mut columns: Vec<f32> = Vec::with_capacity(layout.rows * layout.cols);
    let place = Place::new(columns.spare_capacity_mut());
    // SAFETY: the instructions exist, `words` holds the layout, and every tile writes its own 16 rows of
    // every column.
    pool::run(layout.tiles(), &|tile| unsafe { dequantize_tile(layout, words, tile, &place) });
    // SAFETY: the tiles cover all rows of all columns.
    unsafe { columns.set_len(layout.rows * layout.cols) };
    Some(columns)
}

/// # Safety
/// AVX-512 F, BW, VL and VNNI; `words` holds `layout`, `tile` is one of its tiles, and `columns`
/// has `cols * rows` places.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dequantize_tile(layout: Layout, words: &[u32], tile: usize, columns: &Place<f32>) {
    let first = tile * TILE;
    let rows = TILE.min(layout.rows - first);
    // SAFETY: NF4_CODE has 16 places; the rest is the caller's.
    unsafe {
        let table = _mm512_loadu_ps(NF4_CODE.as_ptr());
        for block in 0..layout.cols / BLOCK {
            let codes = codes(layout, words, tile, block);
            let halves = match layout.format {
                Format::Q6_K => [0, 1].map(|half| q6_k_scales(layout, words, tile, 2 * block + half)),
                Format::NF4 => {
                    let mut scale = [0f32; TILE];
                    for (lane, scale) in scale[..rows].iter_mut().enumerate() {
                        *scale = group_scale(layout, words, first + lane, block / 2).0;
                    }
                    [Scales { scale: _mm512_loadu_ps(scale.as_ptr()), min: _mm512_setzero_ps() }; 2]
                }
                _ => [scales(layout, words, tile, block); 2],
            };
            for (quad, codes) in codes.iter().enumerate() {
                let Scales { scale, min } = halves[quad / 4];
                for byte in 0..4 {
                    let shifted = _mm512_srlv_epi32(*codes, _mm512_set1_epi32(8 * byte as i32));
                    let code = _mm512_and_si512(shifted, _mm512_set1_epi32(255));
                    let value = match layout.format {
                        Format::NF4 => _mm512_mul_ps(_mm512_permutexvar_ps(code, table), scale),
                        // Two roundings, as ggml's: not fused.
                        _ => _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(code), scale), min),
                    };
                    let column = block * BLOCK + 4 * quad + byte;
                    let mut values = [0f32; TILE];
                    _mm512_storeu_ps(values.as_mut_ptr(), value);
                    columns.write(column * layout.rows + first, &values[..rows]);
                }
            }
        }
    }
}

fn run(layout: Layout, words: &[u32], tile: usize, x: &Activations, y: &Place<f32>) {
    let blocks = layout.cols / BLOCK;
    assert!(words.len() >= layout.words() && tile < layout.tiles());
    assert!(x.high.len() == x.tokens * layout.cols && x.low.len() == x.high.len());
    assert!(x.scales.len() == x.tokens * blocks && x.sums.len() == x.scales.len());
    for first in (0..x.tokens).step_by(TOKENS) {
        // SAFETY: `kernel` hands this function out only where the instructions exist; the asserts above
        // give the bounds that the kernel's pointers stay within.
        unsafe {
            match x.tokens - first {
                1 => tile_of::<1>(layout, words, tile, x, first, y),
                2 => tile_of::<2>(layout, words, tile, x, first, y),
                3 => tile_of::<3>(layout, words, tile, x, first, y),
                4 => tile_of::<4>(layout, words, tile, x, first, y),
                5 => tile_of::<5>(layout, words, tile, x, first, y),
                6 => tile_of::<6>(layout, words, tile, x, first, y),
                7 => tile_of::<7>(layout, words, tile, x, first, y),
                _ => tile_of::<TOKENS>(layout, words, tile, x, first, y),
            }
        }
    }
}

/// Scale and minimum of 16 rows for one group of columns.
#[derive(Clone, Copy)]
struct Scales {
    scale: __m512,
    min: __m512,
}

/// `N` rows of activations from `first`.
///
/// # Safety
/// AVX-512 F, BW, VL and VNNI; `words` holds `layout`, `tile` is one of its tiles, and `x` has
/// `first + N` rows of `layout.cols` activations with their digits.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_of<const N: usize>(
    layout: Layout,
    words: &[u32],
    tile: usize,
    x: &Activations,
    first: usize,
    y: &Place<f32>,
) {
    let mut sums = [_mm512_setzero_ps(); N];
    let (groups, offset) = (if layout.format == Format::Q6_K { 2 } else { 1 }, layout.format.offset());
    for block in 0..layout.cols / BLOCK {
        // SAFETY: 32 columns from `block * 32` lie inside the matrix and the activations.
        unsafe {
            let codes = codes(layout, words, tile, block);
            let start = block * x.tokens + first;
            for group in 0..groups {
                let Scales { scale, min } = match layout.format {
                    Format::Q6_K => q6_k_scales(layout, words, tile, 2 * block + group),
                    _ => scales(layout, words, tile, block),
                };
                for (n, sum) in sums.iter_mut().enumerate() {
                    let at = start + n;
                    let four = |digits: &[i8], quad: usize| {
                        let at = digits.as_ptr().add(at * BLOCK + 4 * quad).cast::<i32>();
                        _mm512_set1_epi32(at.read_unaligned())
                    };
                    let (mut high, mut low) = (_mm512_setzero_si512(), _mm512_setzero_si512());
                    let quads = codes.iter().enumerate().skip(8 * group / groups).take(8 / groups);
                    for (quad, codes) in quads {
                        high = _mm512_dpbusd_epi32(high, *codes, four(&x.high, quad));
                        low = _mm512_dpbusd_epi32(low, *codes, four(&x.low, quad));
                    }
                    let total = match groups {
                        2 => x.sums[at][group],
                        _ => x.sums[at][0] + x.sums[at][1],
                    };
                    let dot = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low);
                    let dot = _mm512_sub_epi32(dot, _mm512_set1_epi32(offset * total));
                    let d = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[at]));
                    *sum = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(dot), *sum);
                    if layout.format.has_minimum() {
                        *sum = _mm512_fmadd_ps(min, _mm512_set1_ps(x.totals[at]), *sum);
                    }
                }
            }
        }
    }
    let rows = TILE.min(layout.rows - tile * TILE);
    for (n, sum) in sums.iter().enumerate() {
        let mut out = [0f32; TILE];
        // SAFETY: `out` has 16 places; then this tile's part of a row of `y`, which nobody else writes.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), *sum);
            y.write((first + n) * layout.rows + tile * TILE, &out[..rows]);
        }
    }
}

/// The codes of 32 columns of 16 rows: vector `quad` holds columns `4 quad .. 4 quad + 4`, a row a lane.
///
/// # Safety
/// As [`tile_of`]; `block` counts groups of 32 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn codes(layout: Layout, words: &[u32], tile: usize, block: usize) -> [__m512i; 8] {
    let mut codes = [_mm512_setzero_si512(); 8];
    // SAFETY: every load is of 16 words of this tile's planes, as `Layout` counts them.
    unsafe {
        let load = |at: usize| _mm512_loadu_si512(words.as_ptr().add(at).cast());
        let start = layout.codes().start + tile * layout.tile_codes();
        if layout.format == Format::Q8_0 {
            for (quad, codes) in codes.iter_mut().enumerate() {
                *codes = load(start + (block * 8 + quad) * TILE);
            }
            return codes;
        }
        let nibble = _mm512_set1_epi8(15);
        for pair in 0..4 {
            let word = load(start + (block * 4 + pair) * TILE);
            codes[2 * pair] = _mm512_and_si512(word, nibble);
            codes[2 * pair + 1] = _mm512_and_si512(_mm512_srli_epi32::<4>(word), nibble);
        }
        let high = layout.high().start + tile * layout.tile_high();
        match layout.format {
            Format::Q5_0 | Format::Q5_1 | Format::Q5_K => {
                let word = load(high + block * TILE);
                let bit = _mm512_set1_epi8(1);
                for (quad, codes) in codes.iter_mut().enumerate() {
                    let top = _mm512_and_si512(_mm512_srlv_epi32(word, _mm512_set1_epi32(quad as i32)), bit);
                    *codes = _mm512_or_si512(*codes, _mm512_slli_epi32::<4>(top));
                }
            }
            Format::Q6_K => {
                let bits = _mm512_set1_epi8(3);
                for (quad, codes) in codes.iter_mut().enumerate() {
                    let word = load(high + (block * 2 + quad / 4) * TILE);
                    let shift = _mm512_set1_epi32(2 * (quad % 4) as i32);
                    let top = _mm512_and_si512(_mm512_srlv_epi32(word, shift), bits);
                    *codes = _mm512_or_si512(*codes, _mm512_slli_epi32::<4>(top));
                }
            }
            _ => {}
        }
    }
    codes
}

/// Scales and minima of 16 rows for the 32 columns of `block` (all formats but Q6_K).
///
/// # Safety
/// As [`codes`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn scales(layout: Layout, words: &[u32], tile: usize, block: usize) -> Scales {
    let start = layout.scales().start + tile * layout.tile_scales();
    // SAFETY: every load is of this tile's scales, as `Layout` counts them.
    unsafe {
        let pair = |index: usize| {
            let word = _mm512_loadu_si512(words.as_ptr().add(start + index * TILE).cast());
            let low = _mm512_cvtepi32_epi16(word);
            let high = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(word));
            (_mm512_cvtph_ps(low), _mm512_cvtph_ps(high))
        };
        match layout.format {
            Format::Q4_1 | Format::Q5_1 => {
                let (scale, min) = pair(block);
                Scales { scale, min }
            }
            Format::Q4_K | Format::Q5_K => {
                let (d, m) = pair(block / 8);
                let (six_scale, six_min) = six_bit_pairs(layout, words, tile, block);
                let scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(six_scale));
                let min = _mm512_mul_ps(m, _mm512_cvtepi32_ps(six_min));
                Scales { scale, min: _mm512_sub_ps(_mm512_setzero_ps(), min) }
            }
            _ => {
                let scale = halves(words, start + block * (TILE / 2));
                let offset = match layout.format {
                    Format::Q4_0 => -8.0,
                    Format::Q5_0 => -16.0,
                    _ => -128.0,
                };
                Scales { scale, min: _mm512_mul_ps(scale, _mm512_set1_ps(offset)) }
            }
        }
    }
}

/// 16 f16 from 8 words.
///
/// # Safety
/// AVX-512 F; 8 words from `at` lie inside `words`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn halves(words: &[u32], at: usize) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(words.as_ptr().add(at).cast())) }
}

/// The 6-bit scales and minima of 16 rows (`get_scale_min_k4` on lanes).
///
/// # Safety
/// As [`codes`]; the format is Q4_K or Q5_K.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn six_bit_pairs(layout: Layout, words: &[u32], tile: usize, block: usize) -> (__m512i, __m512i) {
    let start = layout.sub_scales().start + tile * layout.tile_sub_scales() + block / 8 * 3 * TILE;
    let sub = block % 8;
    let shift = _mm512_set1_epi32(8 * (sub % 4) as i32);
    // SAFETY: three times 16 words of this super-block's sub-scales.
    let byte = |word: usize| unsafe {
        let word = _mm512_loadu_si512(words.as_ptr().add(start + word * TILE).cast());
        _mm512_and_si512(_mm512_srlv_epi32(word, shift), _mm512_set1_epi32(255))
    };
    let (a, b) = (byte(0), byte(1));
    if sub < 4 {
        let six = _mm512_set1_epi32(63);
        return (_mm512_and_si512(a, six), _mm512_and_si512(b, six));
    }
    let c = byte(2);
    let top = |t| _mm512_slli_epi32::<4>(_mm512_srli_epi32::<6>(t));
    let scale = _mm512_or_si512(_mm512_and_si512(c, _mm512_set1_epi32(15)), top(a));
    (scale, _mm512_or_si512(_mm512_srli_epi32::<4>(c), top(b)))
}

/// Scales and minima of 16 rows for 16 columns of a Q6_K matrix.
///
/// # Safety
/// As [`codes`]; `group` counts groups of 16 columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn q6_k_scales(layout: Layout, words: &[u32], tile: usize, group: usize) -> Scales {
    let (block, sub) = (group / 16, group % 16);
    let at = layout.sub_scales().start + tile * layout.tile_sub_scales() + (block * 4 + sub / 4) * TILE;
    let d = layout.scales().start + tile * layout.tile_scales() + block * (TILE / 2);
    // SAFETY: 16 words of sub-scales and 8 of scales of this super-block.
    unsafe {
        let word = _mm512_loadu_si512(words.as_ptr().add(at).cast());
        let up = _mm512_sllv_epi32(word, _mm512_set1_epi32(24 - 8 * (sub % 4) as i32));
        let signed = _mm512_srai_epi32::<24>(up);
        let scale = _mm512_mul_ps(halves(words, d), _mm512_cvtepi32_ps(signed));
        Scales { scale, min: _mm512_mul_ps(scale, _mm512_set1_ps(-32.0)) }
    }
}
