//! `dy · W` with integers. The sum runs over the rows of `W`, whose scales differ, so a patch of 32 rows is
//! decoded and rounded anew, to 12 bits with a scale a column: an eighth of bf16's error, at one and a half
//! times the speed of f32.

use std::arch::x86_64::*;
use std::ops::Range;

use super::by_rows::{ByRows, by_rows};
use super::dequantize::decode;
use super::lanes::{Avx2, Avx512, Lanes, has_avx2, has_avx512};
use super::matmul::two;
use crate::kernels::activations::{Activations, BLOCK};
use crate::kernels::{Place, Planes, pool};
use crate::quant::{Layout, TILE};

/// The largest code: 32 products with activations of 16 bits just fit 32.
const LARGEST: f32 = 2047.0;
/// The least scale of a patch: its inverse is a number, and a patch of zeros stays one.
const SMALLEST: f32 = 1e-30;
/// Patches that are asked for ahead of their use: a patch's rows lie far from each other.
const AHEAD: usize = 2;
/// Rows of `dy` whose sums stay in the second cache.
const CHUNK: usize = 512;

/// 32 rows of 16 columns: two rows' codes to a lane, in the order of the activations.
#[repr(align(64))]
struct Patch {
    codes: [[u32; TILE]; BLOCK / 2],
    scale: [f32; TILE],
}

/// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`; nothing where the machine lacks the instructions,
/// or the rows are no whole blocks.
pub(crate) fn matmul_transposed(dy: &[f32], words: &[u32], layout: Layout) -> Option<Vec<f32>> {
    if !has_avx2() || layout.rows == 0 || !layout.rows.is_multiple_of(BLOCK) {
        return None;
    }
    // SAFETY: the instructions exist.
    Some(unsafe { by(if has_avx512() { with_avx512 } else { with_avx2 }, dy, words, layout) })
}

/// The product, a block of columns at a time.
///
/// # Safety
/// The machine has the instructions of `columns`.
unsafe fn by(columns: Columns, dy: &[f32], words: &[u32], layout: Layout) -> Vec<f32> {
    let x = Activations::gradients(dy, layout.rows);
    let mut dx: Vec<f32> = Vec::with_capacity(x.tokens * layout.cols);
    let place = Place::new(dx.spare_capacity_mut());
    let (planes, blocks) = (Planes::of(layout), layout.cols / BLOCK);
    assert!(words.len() >= planes.words && x.scales.len() * BLOCK == x.codes.len());
    pool::run(blocks * x.tokens.div_ceil(CHUNK), &|task| {
        let first = task / blocks * CHUNK;
        let rows = first..x.tokens.min(first + CHUNK);
        // SAFETY: the caller's instructions; the rows of `dy` and the block are there.
        unsafe { columns(&planes, words, task % blocks, &x, rows, &place) };
    });
    // SAFETY: the tasks cover all blocks of columns of all rows.
    unsafe { dx.set_len(x.tokens * layout.cols) };
    dx
}

type Columns = unsafe fn(&Planes, &[u32], usize, &Activations, Range<usize>, &Place<f32>);

/// # Safety
/// As [`columns`], with [`Avx512`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn with_avx512(
    planes: &Planes,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &Place<f32>,
) {
    // SAFETY: the caller's.
    unsafe { columns::<Avx512>(planes, words, block, x, rows, dx) };
}

/// # Safety
/// As [`columns`], with [`Avx2`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(
    planes: &Planes,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &Place<f32>,
) {
    // SAFETY: the caller's.
    unsafe { columns::<Avx2>(planes, words, block, x, rows, dx) };
}

/// The columns of one block for some rows of `dy`.
///
/// # Safety
/// The machine has `L`; rows and block exist; `dx` has `cols` places for every row.
#[inline(always)]
unsafe fn columns<L: Lanes>(
    planes: &Planes,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &Place<f32>,
) {
    let layout = planes.layout;
    let mut tiles = [[[0f32; TILE]; BLOCK]; 2];
    // SAFETY: the caller's.
    unsafe {
        let zeros = vec![L::splat_float(0.0); rows.len()];
        let mut sums = [zeros.clone(), zeros];
        for group in 0..layout.rows / BLOCK {
            for (index, tile) in tiles.iter_mut().enumerate() {
                planes.prefetch(words, 2 * (group + AHEAD) + index, block);
                decode(planes, words, 2 * group + index, block..block + 1, tile);
            }
            for (half, sums) in sums.iter_mut().enumerate() {
                let patch = &Patch::new(&tiles, half * TILE);
                let at = group * x.tokens + rows.start;
                by_rows::<L>(sums.len(), &mut Products::<L> { patch, x, at, sums });
            }
        }
        for (half, sums) in sums.iter().enumerate() {
            for (token, sums) in rows.clone().zip(sums) {
                let mut out = [0f32; TILE];
                L::store_floats(out.as_mut_ptr(), *sums);
                dx.write(token * layout.cols + block * BLOCK + half * TILE, &out);
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
            for eight in 0..BLOCK / 8 {
                for half in 0..2 {
                    let columns = &tiles[eight / 2][column + 8 * half..];
                    let mut eights = [_mm256_setzero_ps(); 8];
                    for (values, column) in eights.iter_mut().zip(columns) {
                        *values = _mm256_loadu_ps(column.as_ptr().add(8 * (eight % 2)));
                    }
                    for (row, values) in rows[8 * eight..8 * eight + 8].iter_mut().zip(transpose(eights)) {
                        _mm256_storeu_ps(row.as_mut_ptr().add(8 * half), values);
                    }
                }
            }
            let load = |row: usize, half: usize| _mm256_loadu_ps(rows[row].as_ptr().add(8 * half));
            let mut patch = Self { codes: [[0; TILE]; 16], scale: [0.0; TILE] };
            let sign = _mm256_set1_ps(-0.0);
            for half in 0..2 {
                let mut largest = _mm256_set1_ps(SMALLEST);
                for row in 0..BLOCK {
                    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, load(row, half)));
                }
                let inverse = _mm256_div_ps(_mm256_set1_ps(LARGEST), largest);
                let scale = _mm256_mul_ps(largest, _mm256_set1_ps(1.0 / LARGEST));
                _mm256_storeu_ps(patch.scale.as_mut_ptr().add(8 * half), scale);
                let code = |row| _mm256_cvtps_epi32(_mm256_mul_ps(load(row, half), inverse));
                for quad in 0..BLOCK / 4 {
                    for odd in 0..2 {
                        let (a, b) = (code(4 * quad + odd), code(4 * quad + odd + 2));
                        let low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
                        let pairs = _mm256_or_si256(low, _mm256_slli_epi32::<16>(b));
                        let place = patch.codes[2 * quad + odd].as_mut_ptr().add(8 * half);
                        _mm256_storeu_si256(place.cast(), pairs);
                    }
                }
            }
            patch
        }
    }
}

/// A patch, and what its products are added to.
struct Products<'a, L: Lanes> {
    patch: &'a Patch,
    x: &'a Activations,
    /// The first row's place in the block's activations.
    at: usize,
    sums: &'a mut [L::Floats],
}

impl<L: Lanes> ByRows for Products<'_, L> {
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, first: usize) {
        let (x, at) = (self.x, self.at + first);
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [L::splat(0); N];
            for (pair, codes) in self.patch.codes.iter().enumerate() {
                let codes = L::load(codes.as_ptr());
                for n in 0..N {
                    dots[n] = L::dot(dots[n], codes, two::<L>(x, at + n, pair));
                }
            }
            let scale = L::load_floats(self.patch.scale.as_ptr());
            let sums = self.sums.get_unchecked_mut(first..first + N);
            for n in 0..N {
                let d = L::mul(scale, L::splat_float(*x.scales.get_unchecked(at + n)));
                sums[n] = L::fma(d, L::floats(dots[n]), sums[n]);
            }
        }
    }
}

/// Rows as columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose(a: [__m256; 8]) -> [__m256; 8] {
    // Pairs, fours and eights of rows are set side by side.
    let pair = |i: usize| [_mm256_unpacklo_ps(a[i], a[i + 1]), _mm256_unpackhi_ps(a[i], a[i + 1])];
    let four = |i: usize| {
        let ([a, b], [c, d]) = (pair(i), pair(i + 2));
        [
            _mm256_shuffle_ps::<0x44>(a, c),
            _mm256_shuffle_ps::<0xee>(a, c),
            _mm256_shuffle_ps::<0x44>(b, d),
            _mm256_shuffle_ps::<0xee>(b, d),
        ]
    };
    let (low, high) = (four(0), four(4));
    let mut columns = [_mm256_setzero_ps(); 8];
    for i in 0..4 {
        columns[i] = _mm256_permute2f128_ps::<0x20>(low[i], high[i]);
        columns[4 + i] = _mm256_permute2f128_ps::<0x31>(low[i], high[i]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Format, pack};

    #[test]
    fn both_sets_of_instructions_give_the_same() {
        if !has_avx512() {
            return;
        }
        let layout = Layout { format: Format::Q4_1, rows: 96, cols: 64 };
        let bytes: Vec<u8> = (0..96 * 2 * 20)
            .map(|i: usize| if i % 20 < 4 { [0x12, 0x2c][i % 2] } else { (i * 31) as u8 })
            .collect();
        let words = pack::pack(layout, &bytes);
        for tokens in [1, 3, 7, 8, 21] {
            let dy: Vec<f32> = (0..tokens * 96).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            // SAFETY: the instructions exist.
            let [a, b] = [with_avx2 as Columns, with_avx512]
                .map(|columns| unsafe { by(columns, &dy, &words, layout) });
            assert_eq!(a, b);
        }
    }
}
