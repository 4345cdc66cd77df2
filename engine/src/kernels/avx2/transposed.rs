//! `dy · W` with integers. The sum runs over the rows of `W`, whose scales differ, so a patch of 32 rows is
//! decoded and rounded anew, to 12 bits with a scale a column: an eighth of bf16's error, at one and a half
//! times the speed of f32.

use std::arch::x86_64::*;

use super::dequantize::decode;
use super::matmul::two;
use crate::kernels::activations::{Activations, BLOCK};
use crate::kernels::{Place, pool};
use crate::quant::{Layout, TILE};

/// The largest code: 32 products with activations of 16 bits just fit 32.
const LARGEST: f32 = 2047.0;
/// The least scale of a patch: its inverse is a number, and a patch of zeros stays one.
const SMALLEST: f32 = 1e-30;
/// Rows of `dy` whose sums stay in the second cache.
const CHUNK: usize = 512;
/// Rows of `dy` whose sums fit the registers.
const ROWS: usize = 4;

/// 32 rows of 16 columns: two rows' codes to a lane, in the order of the activations.
struct Patch {
    codes: [[__m256i; 2]; BLOCK / 2],
    scale: [__m256; 2],
}

type Sums = [__m256; 2];

/// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`; nothing where the machine lacks the instructions,
/// or the rows are no whole blocks.
pub(crate) fn matmul_transposed(dy: &[f32], words: &[u32], layout: Layout) -> Option<Vec<f32>> {
    if !super::available() || layout.rows == 0 || !layout.rows.is_multiple_of(BLOCK) {
        return None;
    }
    let x = Activations::quantize(dy, layout.rows, false);
    let mut dx: Vec<f32> = Vec::with_capacity(x.tokens * layout.cols);
    let place = Place::new(dx.spare_capacity_mut());
    let blocks = layout.cols / BLOCK;
    pool::run(blocks * x.tokens.div_ceil(CHUNK), &|task| {
        let first = task / blocks * CHUNK;
        // SAFETY: the instructions exist; the rows of `dy` and the block are there.
        unsafe { columns(layout, words, task % blocks, &x, first, CHUNK.min(x.tokens - first), &place) };
    });
    // SAFETY: the tasks cover all blocks of columns of all rows.
    unsafe { dx.set_len(x.tokens * layout.cols) };
    Some(dx)
}

/// The columns of one block for `count` rows of `dy` from `first`.
///
/// # Safety
/// AVX2 and FMA; rows and block exist; `dx` has `cols` places for every row.
#[target_feature(enable = "avx2,fma")]
unsafe fn columns(
    layout: Layout,
    words: &[u32],
    block: usize,
    x: &Activations,
    first: usize,
    count: usize,
    dx: &Place<f32>,
) {
    let mut tiles = [[[0f32; TILE]; BLOCK]; 2];
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [0, 1].map(|_| vec![[_mm256_setzero_ps(); 2]; count]);
        for group in 0..layout.rows / BLOCK {
            for (index, tile) in tiles.iter_mut().enumerate() {
                decode(layout, words, 2 * group + index, block..block + 1, tile);
            }
            for (half, sums) in sums.iter_mut().enumerate() {
                let patch = Patch::new(&tiles, half * TILE);
                let mut at = group * x.tokens + first;
                let (fours, rest) = sums.as_chunks_mut::<ROWS>();
                for sums in fours {
                    patch.add(x, at, sums);
                    at += ROWS;
                }
                for sums in rest.as_chunks_mut::<1>().0 {
                    patch.add(x, at, sums);
                    at += 1;
                }
            }
        }
        for (half, sums) in sums.iter().enumerate() {
            for (token, sums) in sums.iter().enumerate() {
                let mut out = [0f32; TILE];
                _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
                dx.write((first + token) * layout.cols + block * BLOCK + half * TILE, &out);
            }
        }
    }
}

impl Patch {
    /// Rounds the 16 columns from `column` of two tiles `[columns][rows]`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn new(tiles: &[[[f32; TILE]; BLOCK]; 2], column: usize) -> Self {
        // SAFETY: the caller's instructions; 8 of 16 values at a time.
        unsafe {
            let mut rows = [[0f32; TILE]; BLOCK];
            for (row, values) in rows.iter_mut().enumerate() {
                for (lane, value) in values.iter_mut().enumerate() {
                    *value = tiles[row / TILE][column + lane][row % TILE];
                }
            }
            let load = |row: usize, half: usize| _mm256_loadu_ps(rows[row].as_ptr().add(8 * half));
            let mut patch =
                Self { codes: [[_mm256_setzero_si256(); 2]; 16], scale: [_mm256_setzero_ps(); 2] };
            let sign = _mm256_set1_ps(-0.0);
            for half in 0..2 {
                let mut largest = _mm256_set1_ps(SMALLEST);
                for row in 0..BLOCK {
                    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, load(row, half)));
                }
                let inverse = _mm256_div_ps(_mm256_set1_ps(LARGEST), largest);
                patch.scale[half] = _mm256_mul_ps(largest, _mm256_set1_ps(1.0 / LARGEST));
                let code = |row| _mm256_cvtps_epi32(_mm256_mul_ps(load(row, half), inverse));
                for quad in 0..BLOCK / 4 {
                    for odd in 0..2 {
                        let (a, b) = (code(4 * quad + odd), code(4 * quad + odd + 2));
                        let low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
                        patch.codes[2 * quad + odd][half] = _mm256_or_si256(low, _mm256_slli_epi32::<16>(b));
                    }
                }
            }
            patch
        }
    }

    /// Adds the products with the blocks of activations from `at`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add<const N: usize>(&self, x: &Activations, at: usize, sums: &mut [Sums; N]) {
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [[_mm256_setzero_si256(); 2]; N];
            for (pair, codes) in self.codes.iter().enumerate() {
                for n in 0..N {
                    let x = two(x, at + n, pair);
                    for half in 0..2 {
                        dots[n][half] = _mm256_add_epi32(dots[n][half], _mm256_madd_epi16(codes[half], x));
                    }
                }
            }
            for n in 0..N {
                let scale = _mm256_set1_ps(x.scales[at + n]);
                for half in 0..2 {
                    let scale = _mm256_mul_ps(self.scale[half], scale);
                    sums[n][half] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dots[n][half]), sums[n][half]);
                }
            }
        }
    }
}
