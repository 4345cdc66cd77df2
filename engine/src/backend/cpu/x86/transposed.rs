//! `dy · W` with integers, a [`WeightTile`] of `W` at a time.

use std::ops::Range;

use super::lanes::{Avx2, Avx512, Lanes};
use super::packed_tile::two;
use super::row_groups::{ForRows, by_rows};
use super::weight_tile::WeightTile;
use crate::backend::cpu::instructions::{has_avx2, has_avx512};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q16::{Activations, BLOCK_COLUMNS, QUAD};
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::backend::cpu::threads::pool;
use crate::quant::{Layout, TILE};

/// How many weight tiles ahead are prefetched: the hardware does not foresee them, because a tile's rows lie far apart.
const AHEAD: usize = 2;
/// Rows of `dy` whose sums stay in the second cache.
const CHUNK: usize = 512;

/// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`; nothing where the machine lacks the instructions,
/// or the rows are no whole blocks.
pub(crate) fn matmul_transposed(dy: &[f32], words: &[u32], layout: Layout) -> Option<Vec<f32>> {
    if !has_avx2() || layout.rows() == 0 || !layout.rows().is_multiple_of(BLOCK_COLUMNS) {
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
    let x = Activations::gradients(dy, layout.rows());
    let mut dx: Vec<f32> = Vec::with_capacity(x.tokens * layout.cols());
    let place = SharedSlice::new(dx.spare_capacity_mut());
    let (offsets, blocks) = (PackedOffsets::of(layout), layout.cols() / BLOCK_COLUMNS);
    assert!(words.len() >= offsets.words() && x.scales.len() * BLOCK_COLUMNS == x.codes.len());
    pool::run(blocks * x.tokens.div_ceil(CHUNK), &|task| {
        let first = task / blocks * CHUNK;
        let rows = first..x.tokens.min(first + CHUNK);
        // SAFETY: the caller's instructions; the rows of `dy` and the block are there.
        unsafe { columns(&offsets, words, task % blocks, &x, rows, &place) };
    });
    // SAFETY: the tasks cover all blocks of columns of all rows.
    unsafe { dx.set_len(x.tokens * layout.cols()) };
    dx
}

type Columns = unsafe fn(&PackedOffsets, &[u32], usize, &Activations, Range<usize>, &SharedSlice<f32>);

/// # Safety
/// As [`columns`], with [`Avx512`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn with_avx512(
    offsets: &PackedOffsets,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &SharedSlice<f32>,
) {
    // SAFETY: the caller's.
    unsafe { columns::<Avx512>(offsets, words, block, x, rows, dx) };
}

/// # Safety
/// As [`columns`], with [`Avx2`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(
    offsets: &PackedOffsets,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &SharedSlice<f32>,
) {
    // SAFETY: the caller's.
    unsafe { columns::<Avx2>(offsets, words, block, x, rows, dx) };
}

/// The columns of one block for some rows of `dy`.
///
/// # Safety
/// The machine has `L`; rows and block exist; `dx` has `cols` places for every row.
#[inline(always)]
unsafe fn columns<L: Lanes>(
    offsets: &PackedOffsets,
    words: &[u32],
    block: usize,
    x: &Activations,
    rows: Range<usize>,
    dx: &SharedSlice<f32>,
) {
    let layout = offsets.layout();
    let mut weights = WeightTile::zero();
    let mut scales = vec![0.0; rows.len()];
    // SAFETY: the caller's.
    unsafe {
        let zeros = vec![L::splat_float(0.0); rows.len()];
        let mut sums = [zeros.clone(), zeros];
        for group in 0..layout.rows() / BLOCK_COLUMNS {
            for tile in 0..BLOCK_COLUMNS / TILE {
                offsets.prefetch(words, BLOCK_COLUMNS / TILE * (group + AHEAD) + tile, block);
            }
            weights.read(offsets, words, group, block);
            let at = group * x.tokens + rows.start;
            for (scale, of_row) in scales.iter_mut().zip(&x.scales[at..]) {
                *scale = weights.scale * of_row;
            }
            for (codes, sums) in weights.codes.iter().zip(&mut sums) {
                by_rows::<L>(rows.len(), &mut Products::<L> { codes, scales: &scales, x, at, sums });
            }
        }
        for (half, sums) in sums.iter().enumerate() {
            for (token, sums) in rows.clone().zip(sums) {
                let (mut quads, mut out) = ([0f32; TILE], [0f32; TILE]);
                L::store_floats(quads.as_mut_ptr(), *sums);
                for (place, sum) in quads.into_iter().enumerate() {
                    out[place / 4 * 4 + QUAD[place % 4]] = sum;
                }
                dx.write(token * layout.cols() + block * BLOCK_COLUMNS + half * TILE, &out);
            }
        }
    }
}

/// Half a weight tile, and the sums to which its products are added.
struct Products<'a, L: Lanes> {
    codes: &'a [[u32; TILE]; BLOCK_COLUMNS / 2],
    /// What a product of codes stands for, `[rows of dy]`.
    scales: &'a [f32],
    x: &'a Activations,
    /// The first row's place in the block's activations.
    at: usize,
    sums: &'a mut [L::Floats],
}

impl<L: Lanes> ForRows for Products<'_, L> {
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, first: usize) {
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [L::splat(0); N];
            for (pair, codes) in self.codes.iter().enumerate() {
                let codes = L::load(codes.as_ptr());
                for n in 0..N {
                    dots[n] = L::dot(dots[n], codes, two::<L>(self.x, self.at + first + n, pair));
                }
            }
            let scales = self.scales.get_unchecked(first..first + N);
            let sums = self.sums.get_unchecked_mut(first..first + N);
            for n in 0..N {
                sums[n] = L::fma(L::splat_float(scales[n]), L::floats(dots[n]), sums[n]);
            }
        }
    }
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
        let layout = Layout::new(Format::Q4_1, [96, 64]).unwrap();
        let bytes: Vec<u8> = (0..96 * 2 * 20)
            .map(|i: usize| if i % 20 < 4 { [0x12, 0x2c][i % 2] } else { (i * 31) as u8 })
            .collect();
        let mut words = vec![0; layout.words()];
        pack::pack(layout, layout.format().spec().blocks.as_ref().unwrap(), &bytes, &mut words);
        for tokens in [1, 3, 7, 8, 21] {
            let dy: Vec<f32> = (0..tokens * 96).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            // SAFETY: the instructions exist.
            let [a, b] = [with_avx2 as Columns, with_avx512]
                .map(|columns| unsafe { by(columns, &dy, &words, layout) });
            assert_eq!(a, b);
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        if !has_avx2() {
            return;
        }
        let layout = Layout::new(Format::Q8_0, [32, 32]).unwrap();
        // A scale of 1 and codes of -128.
        let bytes: Vec<u8> = (0..32 * 34).map(|i: usize| [0x00, 0x3c, 0x80][(i % 34).min(2)]).collect();
        for dy in [1.0, -1.0] {
            let mut words = vec![0; layout.words()];
            pack::pack(layout, layout.format().spec().blocks.as_ref().unwrap(), &bytes, &mut words);
            let dx = matmul_transposed(&[dy; 32], &words, layout).unwrap();
            assert!(dx.iter().all(|dx| (dx / (dy * -128.0 * 32.0) - 1.0).abs() < 1e-3), "{dx:?}");
        }
    }
}
