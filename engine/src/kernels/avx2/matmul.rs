//! Integer products: each `vpmaddwd` adds to a row's sum the products of two of its weights with two
//! activations.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::weights::{STRETCH, Scales, Weights};
use crate::kernels::Place;
use crate::kernels::activations::{Activations, BLOCK};
use crate::quant::{Format, Layout, TILE};

/// Rows of activations that share the decoding of a block of weights.
const CHUNK: usize = 64;
/// Blocks of codes that are asked for ahead of their use: about 2 KiB.
const AHEAD: usize = 6;
/// Rows of activations whose sums fit the registers.
const ROWS: usize = 4;

pub(super) fn run(layout: Layout, words: &[u32], tile: usize, x: &Activations, y: &Place<f32>) {
    let blocks = layout.cols / BLOCK;
    assert!(words.len() >= layout.words() && tile < layout.tiles());
    assert!(x.codes.len() == x.tokens * layout.cols && x.scales.len() == x.tokens * blocks);
    assert!(x.sums.len() == x.scales.len() && x.totals.len() == x.scales.len());
    // SAFETY: `kernel` hands this function out only where the instructions exist; the asserts give the
    // bounds that the kernel's pointers stay within.
    unsafe {
        match layout.format {
            Format::Q5_0 | Format::Q5_1 | Format::Q5_K => tile_of::<5>(layout, words, tile, x, y),
            Format::Q6_K => tile_of::<6>(layout, words, tile, x, y),
            Format::Q8_0 => tile_of::<8>(layout, words, tile, x, y),
            _ => tile_of::<4>(layout, words, tile, x, y),
        }
    }
}

/// One tile, all rows of activations.
///
/// # Safety
/// As [`run`] asserts.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile_of<const BITS: u8>(
    layout: Layout,
    words: &[u32],
    tile: usize,
    x: &Activations,
    y: &Place<f32>,
) {
    let weights = Weights::<BITS>::new(layout, words, tile);
    // SAFETY: the caller's; the rows given are those of `x`.
    unsafe {
        match x.tokens {
            1 => weights.few::<1>(x, y),
            2 => weights.few::<2>(x, y),
            3 => weights.few::<3>(x, y),
            tokens => {
                for first in (0..tokens).step_by(CHUNK) {
                    weights.many(x, first, CHUNK.min(tokens - first), y);
                }
            }
        }
    }
}

impl<const BITS: u8> Weights<'_, BITS> {
    /// All `N` rows of activations: the weights are decoded on the way.
    #[inline(always)]
    unsafe fn few<const N: usize>(&self, x: &Activations, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are `tile_of`'s.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; N];
            let mut scales = MaybeUninit::<Scales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales(self.stretch(block), scales);
                }
                self.prefetch(block + AHEAD);
                let at = block * N;
                for group in 0..Self::GROUPS {
                    let mut dots = self.start::<N>(x, at, group);
                    for eight in 4 * group / Self::GROUPS..4 * (group + 1) / Self::GROUPS {
                        let lower = self.eight_columns(block, eight, 0);
                        let upper = self.eight_columns(block, eight, 1);
                        for pair in 0..4 {
                            for n in 0..N {
                                let x = two(x, at + n, 4 * eight + pair);
                                dots[n][0] = _mm256_add_epi32(dots[n][0], _mm256_madd_epi16(lower[pair], x));
                                dots[n][1] = _mm256_add_epi32(dots[n][1], _mm256_madd_epi16(upper[pair], x));
                            }
                        }
                    }
                    let index = (block % STRETCH) * Self::GROUPS + group;
                    self.add(&mut sums, &dots, scales, index, x, at);
                }
            }
            for n in 0..N {
                self.store(n, sums[n], y);
            }
        }
    }

    /// `count` rows of activations from `first`: each block of weights is decoded once.
    #[inline(always)]
    unsafe fn many(&self, x: &Activations, first: usize, count: usize, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are `tile_of`'s.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; CHUNK];
            let mut codes = [[_mm256_setzero_si256(); 2]; 16];
            let offset = _mm256_set1_epi16(self.offset as i16);
            let mut scales = MaybeUninit::<Scales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales(self.stretch(block), scales);
                }
                for eight in 0..4 {
                    for half in 0..2 {
                        let decoded = self.eight_columns(block, eight, half);
                        for pair in 0..4 {
                            codes[4 * eight + pair][half] = _mm256_sub_epi16(decoded[pair], offset);
                        }
                    }
                }
                let mut at = block * x.tokens + first;
                for sums in sums[..count].chunks_mut(ROWS) {
                    match sums.len() {
                        1 => self.rows::<1>(&codes, scales, block, x, at, sums),
                        2 => self.rows::<2>(&codes, scales, block, x, at, sums),
                        3 => self.rows::<3>(&codes, scales, block, x, at, sums),
                        _ => self.rows::<ROWS>(&codes, scales, block, x, at, sums),
                    }
                    at += sums.len();
                }
            }
            for (token, sums) in sums[..count].iter().enumerate() {
                self.store(first + token, *sums, y);
            }
        }
    }

    /// Adds the products of one decoded block, its offset taken off, with `N` rows of activations from `at`.
    #[inline(always)]
    unsafe fn rows<const N: usize>(
        &self,
        codes: &[[__m256i; 2]; 16],
        scales: *const Scales,
        block: usize,
        x: &Activations,
        at: usize,
        sums: &mut [[__m256; 2]],
    ) {
        // SAFETY: the caller's.
        unsafe {
            for group in 0..Self::GROUPS {
                let first = 16 * group / Self::GROUPS;
                let mut dots: [[__m256i; 2]; N] = std::array::from_fn(|n| {
                    let x = two(x, at + n, first);
                    [_mm256_madd_epi16(codes[first][0], x), _mm256_madd_epi16(codes[first][1], x)]
                });
                for pair in first + 1..first + 16 / Self::GROUPS {
                    for n in 0..N {
                        let x = two(x, at + n, pair);
                        dots[n][0] = _mm256_add_epi32(dots[n][0], _mm256_madd_epi16(codes[pair][0], x));
                        dots[n][1] = _mm256_add_epi32(dots[n][1], _mm256_madd_epi16(codes[pair][1], x));
                    }
                }
                let index = (block % STRETCH) * Self::GROUPS + group;
                self.add(sums, &dots, scales, index, x, at);
            }
        }
    }

    /// Asks for the codes of a block, which may lie in the next tile or behind the last.
    #[inline(always)]
    unsafe fn prefetch(&self, block: usize) {
        let words = if BITS == 8 { 8 * TILE } else { 4 * TILE };
        for line in 0..words / 16 {
            let place = self.codes.as_ptr().wrapping_add(block * words + 16 * line);
            // SAFETY: a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
        }
    }

    /// What the sums of integer products start from: minus the offset of all codes of the group.
    #[inline(always)]
    unsafe fn start<const N: usize>(&self, x: &Activations, at: usize, group: usize) -> [[__m256i; 2]; N] {
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [[_mm256_setzero_si256(); 2]; N];
            for n in 0..N {
                let sums = x.sums[at + n];
                let sum = if BITS == 6 { sums[group] } else { sums[0] + sums[1] };
                dots[n] = [_mm256_set1_epi32(-self.offset * sum); 2];
            }
            dots
        }
    }

    /// `sums + weight scale · activation scale · dots + min · total`, for `N` rows from `at`.
    #[inline(always)]
    unsafe fn add<const N: usize>(
        &self,
        sums: &mut [[__m256; 2]],
        dots: &[[__m256i; 2]; N],
        scales: *const Scales,
        index: usize,
        x: &Activations,
        at: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            for n in 0..N {
                let scale = _mm256_set1_ps(*x.scales.get_unchecked(at + n));
                for half in 0..2 {
                    let d = _mm256_mul_ps((*scales).scale[index][half], scale);
                    let sum = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(dots[n][half]), sums[n][half]);
                    sums[n][half] = match self.has_minimum {
                        true => {
                            let total = _mm256_set1_ps(*x.totals.get_unchecked(at + n));
                            _mm256_fmadd_ps((*scales).min[index][half], total, sum)
                        }
                        false => sum,
                    };
                }
            }
        }
    }

    /// Writes one row of activations' outputs of this tile.
    #[inline(always)]
    unsafe fn store(&self, token: usize, sums: [__m256; 2], y: &Place<f32>) {
        let mut out = [0f32; TILE];
        let rows = TILE.min(self.layout.rows - self.tile * TILE);
        // SAFETY: 16 places; then this tile's part of a row of `y`, which nobody else writes.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
            let at = token * self.layout.rows + self.tile * TILE;
            match rows {
                TILE => y.write(at, &out), // of a known length: two stores
                _ => y.write(at, &out[..rows]),
            }
        }
    }
}

/// Two activations of row `at` for every lane.
#[inline(always)]
pub(super) unsafe fn two(x: &Activations, at: usize, pair: usize) -> __m256i {
    // SAFETY: the caller's: the row has 32 codes.
    unsafe { _mm256_set1_epi32(x.codes.as_ptr().add(at * BLOCK + 2 * pair).cast::<i32>().read_unaligned()) }
}
