//! The packed weights of a tile in registers: a lane holds two 16-bit codes of its row.

use std::arch::x86_64::*;
use std::ops::Range;

use super::lanes::Lanes;
use crate::kernels::activations::BLOCK;
use crate::quant::{Format, Layout, TILE};

/// Blocks whose scales are decoded at once; a multiple of the 8 blocks that share a super-scale.
pub(super) const STRETCH: usize = 32;

/// The packed weights of one tile.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, const BITS: u8> {
    pub layout: Layout,
    pub tile: usize,
    pub codes: &'a [u32],
    pub high: &'a [u32],
    sub_scales: &'a [u32],
    scales: &'a [u32],
    /// What is subtracted from a code, where the format's values are symmetric.
    pub offset: i32,
    pub has_minimum: bool,
}

// The methods are inlined into functions that have the instructions; that is why they lack the attribute.
impl<'a, const BITS: u8> Weights<'a, BITS> {
    /// Groups of columns with a scale of their own in a block.
    pub const GROUPS: usize = if BITS == 6 { 2 } else { 1 };

    #[inline(always)]
    pub fn new(layout: Layout, words: &'a [u32], tile: usize) -> Self {
        let part = |start: usize, len: usize| &words[start + tile * len..start + (tile + 1) * len];
        Self {
            layout,
            tile,
            codes: part(layout.codes().start, layout.tile_codes()),
            high: part(layout.high().start, layout.tile_high()),
            sub_scales: part(layout.sub_scales().start, layout.tile_sub_scales()),
            scales: part(layout.scales().start, layout.tile_scales()),
            offset: layout.format.offset(),
            has_minimum: layout.format.has_minimum(),
        }
    }

    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.layout.cols / BLOCK
    }

    /// The blocks from `first` whose scales are decoded at once.
    #[inline(always)]
    pub fn stretch(&self, first: usize) -> Range<usize> {
        first..self.blocks().min(first + STRETCH)
    }

    /// Columns `8 eight ..` of a block as 16-bit pairs, in the order of the activations.
    #[inline(always)]
    pub unsafe fn eight_columns<L: Lanes>(&self, block: usize, eight: usize) -> [L::Ints; 4] {
        // SAFETY: the caller's: 16 words of this tile's planes at a time.
        unsafe {
            let words = |plane: &[u32], index: usize| {
                debug_assert!((index + 1) * TILE <= plane.len());
                L::load(plane.as_ptr().add(index * TILE))
            };
            let eight_of = block * 4 + eight;
            if BITS == 8 {
                let byte = L::splat(0x00ff_00ff);
                let (a, b) = (words(self.codes, 2 * eight_of), words(self.codes, 2 * eight_of + 1));
                return [L::and(a, byte), L::right16(a, 8), L::and(b, byte), L::right16(b, 8)];
            }
            let word = words(self.codes, eight_of);
            let nibble = L::splat(0x000f_000f);
            let mut codes = [
                L::and(word, nibble),
                L::and(L::right16(word, 8), nibble),
                L::and(L::right16(word, 4), nibble),
                L::right16(word, 12),
            ];
            if BITS == 4 {
                return codes;
            }
            let (bits, per_quad, word) = match BITS {
                5 => (0x0010_0010, 1, words(self.high, block)),
                _ => (0x0030_0030, 2, words(self.high, block * 2 + eight / 2)),
            };
            for pair in 0..4 {
                // The quad's bits go from place `from` of their half word to place 4.
                let quad = if BITS == 5 { 2 * eight + pair / 2 } else { 2 * (eight % 2) + pair / 2 };
                let from = (per_quad * quad + 8 * (pair % 2)) as i32;
                let high = match from {
                    ..4 => L::left16(word, 4 - from),
                    _ => L::right16(word, from - 4),
                };
                codes[pair] = L::or(codes[pair], L::and(high, L::splat(bits)));
            }
            codes
        }
    }

    /// Decodes the scales and minima (where the format has them) of up to [`STRETCH`] blocks.
    #[inline(always)]
    pub unsafe fn decode_scales(&self, blocks: Range<usize>, out: *mut Scales) {
        // SAFETY: 8 words (4 of f16 pairs) of this tile's scales at a time.
        unsafe {
            match self.layout.format {
                Format::Q4_1 | Format::Q5_1 => {
                    for (index, block) in blocks.enumerate() {
                        for half in 0..2 {
                            let (scale, min) = pairs(self.scales, block * TILE + 8 * half);
                            store(&raw mut (*out).scale[index], half, scale);
                            store(&raw mut (*out).min[index], half, min);
                        }
                    }
                }
                Format::Q4_K | Format::Q5_K => {
                    for half in 0..2 {
                        let mut scales = [_mm256_setzero_si256(); 4];
                        let (mut d, mut m) = (_mm256_setzero_ps(), _mm256_setzero_ps());
                        for (index, block) in blocks.clone().enumerate() {
                            if index == 0 || block % 8 == 0 {
                                scales = self.six_bits(block / 8, half);
                                (d, m) = pairs(self.scales, block / 8 * TILE + 8 * half);
                                m = _mm256_sub_ps(_mm256_setzero_ps(), m);
                            }
                            let shift = _mm_cvtsi32_si128(8 * (block % 4) as i32);
                            let value = |bytes| {
                                let byte =
                                    _mm256_and_si256(_mm256_srl_epi32(bytes, shift), _mm256_set1_epi32(255));
                                _mm256_cvtepi32_ps(byte)
                            };
                            let four = block % 8 / 4;
                            let (scale, min) = (value(scales[four]), value(scales[2 + four]));
                            store(&raw mut (*out).scale[index], half, _mm256_mul_ps(d, scale));
                            store(&raw mut (*out).min[index], half, _mm256_mul_ps(m, min));
                        }
                    }
                }
                Format::Q6_K => {
                    for (index, group) in (2 * blocks.start..2 * blocks.end).enumerate() {
                        for half in 0..2 {
                            let word = load(self.sub_scales, group / 4 * TILE + 8 * half);
                            let up = _mm256_sll_epi32(word, _mm_cvtsi32_si128(24 - 8 * (group % 4) as i32));
                            let scale = _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(up));
                            let d = halves(self.scales, group / 16 * (TILE / 2) + 4 * half);
                            store(&raw mut (*out).scale[index], half, _mm256_mul_ps(d, scale));
                        }
                    }
                }
                _ => {
                    for (index, block) in blocks.enumerate() {
                        for half in 0..2 {
                            let scale = halves(self.scales, block * (TILE / 2) + 4 * half);
                            store(&raw mut (*out).scale[index], half, scale);
                        }
                    }
                }
            }
        }
    }

    /// The 6-bit scales of the sub-blocks 0 to 3 and 4 to 7 of a super-block, then their minima, a byte a
    /// sub-block (`get_scale_min_k4` on the bytes of 8 rows).
    #[inline(always)]
    unsafe fn six_bits(&self, block: usize, half: usize) -> [__m256i; 4] {
        let start = block * 3 * TILE + 8 * half;
        // SAFETY: the caller's: 8 of this super-block's three times 16 words.
        unsafe {
            let (a, b) = (load(self.sub_scales, start), load(self.sub_scales, start + TILE));
            let c = load(self.sub_scales, start + 2 * TILE);
            let six = _mm256_set1_epi8(63);
            let (four, upper) = (_mm256_set1_epi8(15), _mm256_set1_epi8(48));
            let above = |word| _mm256_and_si256(_mm256_srli_epi32::<2>(word), upper);
            [
                _mm256_and_si256(a, six),
                _mm256_or_si256(_mm256_and_si256(c, four), above(a)),
                _mm256_and_si256(b, six),
                _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32::<4>(c), four), above(b)),
            ]
        }
    }
}

/// Scales and minima of 16 rows for the groups of a stretch of blocks. It begins uninitialized, because
/// clearing it would cost a decoded token a tenth of its time, and is reached by pointer for that.
#[repr(align(64))]
pub(super) struct Scales {
    pub scale: [[f32; TILE]; 2 * STRETCH],
    pub min: [[f32; TILE]; STRETCH],
}

/// Writes 8 of 16 lanes.
#[inline(always)]
pub(super) unsafe fn store(lanes: *mut [f32; TILE], half: usize, values: __m256) {
    // SAFETY: the caller's: 8 places from `8 half`.
    unsafe { _mm256_storeu_ps(lanes.cast::<f32>().add(8 * half), values) };
}

#[inline(always)]
unsafe fn load(plane: &[u32], at: usize) -> __m256i {
    debug_assert!(at + 8 <= plane.len());
    // SAFETY: the caller's: 8 words from `at`.
    unsafe { _mm256_loadu_si256(plane.as_ptr().add(at).cast()) }
}

/// 8 f16 from 4 words.
#[inline(always)]
unsafe fn halves(plane: &[u32], at: usize) -> __m256 {
    debug_assert!(at + 4 <= plane.len());
    // SAFETY: the caller's: 4 words from `at`.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(plane.as_ptr().add(at).cast())) }
}

/// The low and the high f16 of 8 words.
#[inline(always)]
unsafe fn pairs(plane: &[u32], at: usize) -> (__m256, __m256) {
    // SAFETY: the caller's.
    unsafe {
        let words = load(plane, at);
        let low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
        let high = _mm256_srli_epi32::<16>(words);
        let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
        (
            _mm256_cvtph_ps(_mm256_castsi256_si128(packed)),
            _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(packed)),
        )
    }
}
