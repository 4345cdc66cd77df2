//! 32 × 32 weights as `dy · W` needs them. Its sums run over rows, which have different scales, so all weights of the
//! tile are rounded again to 14 bits of one common scale. Every format is `code · d + m`, which is computed with 16-bit
//! integer multiplication; then the tile is transposed, so that a lane holds two rows of one column.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::dequantize::nf4_scales;
use super::lanes::Avx2;
use super::packed_tile::{DecodedScales, PackedTile};
use crate::backend::cpu::operands::activations_q16::BLOCK_COLUMNS;
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::quant::formats::ScaleKind;
use crate::quant::{NF4_CODE, TILE};

/// What the largest weight becomes; rounding adds at most one, and 32 products with gradients just fit 32 bits.
const LARGEST: f32 = 8190.0;
/// Lower bound of the largest weight, so that a tile of zeros does not divide by zero.
const SMALLEST: f32 = 1e-30;

/// 32 rows of 32 columns.
#[repr(align(64))]
pub(crate) struct WeightTile {
    /// Two rows' codes to a lane, both in the order of [`crate::backend::cpu::operands::activations_q16::QUAD`]:
    /// `[half of the columns][pair of rows][column]`.
    pub codes: [[[u32; TILE]; BLOCK_COLUMNS / 2]; 2],
    /// What a code of 1 stands for.
    pub scale: f32,
}

impl WeightTile {
    pub fn zero() -> Self {
        Self { codes: [[[0; TILE]; BLOCK_COLUMNS / 2]; 2], scale: 0.0 }
    }

    /// Takes the weights of rows `32 group ..` and columns `32 block ..`.
    ///
    /// # Safety
    /// The machine has AVX2, FMA and F16C; `words` holds the matrix, which has the rows and columns.
    pub unsafe fn read(&mut self, offsets: &PackedOffsets, words: &[u32], group: usize, block: usize) {
        // SAFETY: the caller's.
        unsafe {
            match offsets.layout().format().code_bits() {
                5 => self.of_bits::<5>(offsets, words, group, block),
                6 => self.of_bits::<6>(offsets, words, group, block),
                8 => self.of_bits::<8>(offsets, words, group, block),
                _ => self.of_bits::<4>(offsets, words, group, block),
            }
        }
    }

    /// # Safety
    /// As [`Self::read`].
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of_bits<const BITS: u8>(
        &mut self,
        offsets: &PackedOffsets,
        words: &[u32],
        group: usize,
        block: usize,
    ) {
        let kind = offsets.layout().format().scale_kind();
        let nf4 = kind == ScaleKind::Nested;
        let weights = [0, 1].map(|tile| PackedTile::<BITS>::new(offsets, words, 2 * group + tile, kind));
        // SAFETY: two tiles of the matrix; 16 of 16 codes at a time.
        unsafe {
            let lines = [lines(&weights[0], words, block), lines(&weights[1], words, block)];
            let mut largest = _mm256_set1_ps(SMALLEST);
            for line in lines.as_flattened().as_flattened() {
                largest = _mm256_max_ps(largest, line.largest(if nf4 { 1 } else { (1 << BITS) - 1 }));
            }
            let largest = largest_of(largest);
            self.scale = largest / LARGEST;
            let inverse = LARGEST / largest;
            // `mulhrs` divides by 2¹⁵. Codes are shifted to the top of 15 bits and NF4's values to 14; the factor makes up for
            // the difference.
            let of_codes = inverse * if nf4 { 2.0 } else { (1 << BITS) as f32 };
            for (tile, weights) in weights.iter().enumerate() {
                for half in 0..2 {
                    let columns = [
                        weights.eight_columns::<Avx2>(block, 2 * half),
                        weights.eight_columns::<Avx2>(block, 2 * half + 1),
                    ];
                    for (eight, line) in lines[tile][half].iter().enumerate() {
                        let (d, m) = (rounded(line.d, of_codes), rounded(line.m, inverse));
                        let mut pairs = [_mm256_setzero_si256(); 8];
                        for (place, pair) in pairs.iter_mut().enumerate() {
                            // Taken in the order 0, 2, 1, 3, which unpacking undoes.
                            let codes = columns[place / 2 % 2][place / 4 * 2 + place % 2][eight];
                            let codes = if nf4 { nf4_values(codes) } else { above::<BITS>(codes) };
                            *pair = _mm256_add_epi16(_mm256_mulhrs_epi16(codes, d), m);
                        }
                        let rows = transpose(pairs);
                        let out = &mut self.codes[half][8 * tile + 4 * eight..][..4];
                        for (out, first) in out.iter_mut().zip([0, 1, 4, 5]) {
                            let (a, b) = (rows[first], rows[first + 2]);
                            let out = out.as_mut_ptr().cast::<__m256i>();
                            _mm256_storeu_si256(out, _mm256_unpacklo_epi16(a, b));
                            _mm256_storeu_si256(out.add(1), _mm256_unpackhi_epi16(a, b));
                        }
                    }
                }
            }
        }
    }
}

/// Scales and minima of 8 rows: a weight is `code · d + m`, of NF4 `value · d`.
#[derive(Clone, Copy)]
struct Line {
    d: __m256,
    m: __m256,
}

impl Line {
    /// The largest magnitude of a weight whose code is at most `code`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn largest(self, code: i32) -> __m256 {
        let sign = _mm256_set1_ps(-0.0);
        let last = _mm256_fmadd_ps(self.d, _mm256_set1_ps(code as f32), self.m);
        _mm256_max_ps(_mm256_andnot_ps(sign, self.m), _mm256_andnot_ps(sign, last))
    }
}

/// The lines of a block: `[half of the columns][8 rows]`.
///
/// # Safety
/// As [`WeightTile::read`]'s, of this tile.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn lines<const BITS: u8>(weights: &PackedTile<BITS>, words: &[u32], block: usize) -> [[Line; 2]; 2] {
    let mut lines = [[Line { d: _mm256_setzero_ps(), m: _mm256_setzero_ps() }; 2]; 2];
    let mut scales = MaybeUninit::<DecodedScales>::uninit();
    let scales = scales.as_mut_ptr();
    // SAFETY: a block of the tile; what is loaded has been decoded, 8 of 16 values at a time.
    unsafe {
        match weights.kind {
            ScaleKind::Nested => nf4_scales(weights.layout, words, weights.tile, block..block + 1, scales),
            _ => weights.decode_scales::<Avx2>(block..block + 1, scales),
        }
        for (half, lines) in lines.iter_mut().enumerate() {
            let group = half * PackedTile::<BITS>::GROUPS / 2;
            for (eight, line) in lines.iter_mut().enumerate() {
                line.d = _mm256_loadu_ps((*scales).scale[group].as_ptr().add(8 * eight));
                line.m = match weights.has_minimum() {
                    true => _mm256_loadu_ps((*scales).min[group].as_ptr().add(8 * eight)),
                    false => _mm256_mul_ps(line.d, _mm256_set1_ps(-weights.offset as f32)),
                };
            }
        }
    }
    lines
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn largest_of(values: __m256) -> f32 {
    let mut out = [0f32; 8];
    // SAFETY: eight places.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) };
    out.into_iter().fold(0.0, f32::max)
}

/// `values · inverse`, rounded: twice 16 bits in every lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rounded(values: __m256, inverse: f32) -> __m256i {
    let codes = _mm256_cvtps_epi32(_mm256_mul_ps(values, _mm256_set1_ps(inverse)));
    _mm256_blend_epi16::<0xaa>(codes, _mm256_slli_epi32::<16>(codes))
}

/// Codes, shifted to the top of 15 bits.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn above<const BITS: u8>(codes: __m256i) -> __m256i {
    _mm256_sll_epi16(codes, _mm_cvtsi32_si128(15 - i32::from(BITS)))
}

/// `2¹⁴ · NF4_CODE[code]` of 16 codes: low bytes from one table, high bytes from another.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn nf4_values(codes: __m256i) -> __m256i {
    const TABLE: [[u8; 16]; 2] = {
        let mut table = [[0; 16]; 2];
        let mut code = 0;
        while code < 16 {
            let half = if NF4_CODE[code] < 0.0 { -0.5 } else { 0.5 };
            [table[0][code], table[1][code]] = ((NF4_CODE[code] * 16384.0 + half) as i16).to_le_bytes();
            code += 1;
        }
        table
    };
    // SAFETY: 16 bytes each.
    let [low, high] = unsafe {
        [
            _mm256_broadcastsi128_si256(_mm_loadu_si128(TABLE[0].as_ptr().cast())),
            _mm256_broadcastsi128_si256(_mm_loadu_si128(TABLE[1].as_ptr().cast())),
        ]
    };
    // `shuffle` gives 0 where the highest bit of an index is set.
    let none = _mm256_set1_epi16(0x80);
    let high_codes = _mm256_or_si256(_mm256_slli_epi16::<8>(codes), none);
    let low_codes = _mm256_or_si256(codes, _mm256_slli_epi16::<8>(none));
    _mm256_or_si256(_mm256_shuffle_epi8(low, low_codes), _mm256_shuffle_epi8(high, high_codes))
}

/// Rows as columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose(a: [__m256i; 8]) -> [__m256i; 8] {
    // Pairs, fours and eights of rows are set side by side.
    let mut fours = [_mm256_setzero_si256(); 8];
    for i in [0, 4] {
        let (a, b, c, d) = (a[i], a[i + 1], a[i + 2], a[i + 3]);
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (next_low, next_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        fours[i] = _mm256_unpacklo_epi64(low, next_low);
        fours[i + 1] = _mm256_unpackhi_epi64(low, next_low);
        fours[i + 2] = _mm256_unpacklo_epi64(high, next_high);
        fours[i + 3] = _mm256_unpackhi_epi64(high, next_high);
    }
    let mut columns = fours;
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256::<0x20>(fours[i], fours[4 + i]);
        columns[4 + i] = _mm256_permute2x128_si256::<0x31>(fours[i], fours[4 + i]);
    }
    columns
}
