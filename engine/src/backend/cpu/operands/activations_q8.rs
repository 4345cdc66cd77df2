//! Activations rounded to 8-bit integers, for k-quants.

use crate::backend::cpu::instructions::for_the_machine;
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q16::{BLOCK_COLUMNS, QUAD, SUPER_BLOCKS, largest_of, round};
use crate::backend::cpu::threads::pool;

/// The largest code.
const LARGEST: f32 = 127.0;
/// The largest total.
const LARGEST_TOTAL: f32 = 32767.0;
/// Q6_K's codes are stored with this added.
const OFFSET: i32 = 32;

/// Rows of activations as integers, `x ≈ scale · code`, with a scale for 32 columns: k-quants multiply bytes,
/// twice as many at once as 16-bit numbers. (llama.cpp's scale is for 256 columns. On SmolLM2 in Q4_K_M and Q6_K the
/// perplexity of `seed.txt` is 0.13 and 0.07 % above that of exact products, llama.cpp's 0.32 and 0.53 %.)
#[derive(Debug, Clone, Default)]
pub(crate) struct ActivationsQ8 {
    /// `[cols / 32][tokens][32]`, −127..=127.
    pub codes: Vec<[i8; BLOCK_COLUMNS]>,
    /// `[cols / 32][tokens]`.
    pub scales: Vec<f32>,
    /// The value from which sums of products with Q6_K start, minus its offset times the sum of the codes of each half
    /// block: `[cols / 32][tokens][2]`.
    pub starts: Vec<[i32; 2]>,
    /// Sums of 8 blocks' activations with a common scale, for minima: `[cols / 256][tokens][8]`, quads in the order
    /// of [`QUAD`].
    pub totals: Vec<[i16; SUPER_BLOCKS]>,
    /// What a total of 1 stands for, `[cols / 256][tokens]`.
    pub total_scales: Vec<f32>,
}

impl ActivationsQ8 {
    /// Rounds `x [tokens][cols]`, `cols` a multiple of 256, to nearest.
    pub fn quantize(x: &[f32], cols: usize) -> Self {
        assert!(
            cols.is_multiple_of(SUPER_BLOCKS * BLOCK_COLUMNS),
            "{cols} columns are no whole super-blocks"
        );
        let (tokens, supers) = (x.len() / cols, cols / (SUPER_BLOCKS * BLOCK_COLUMNS));
        let (of_blocks, of_supers) = (tokens * supers * SUPER_BLOCKS, tokens * supers);
        let mut all = Self {
            codes: Vec::with_capacity(of_blocks),
            scales: Vec::with_capacity(of_blocks),
            starts: Vec::with_capacity(of_blocks),
            totals: Vec::with_capacity(of_supers),
            total_scales: Vec::with_capacity(of_supers),
        };
        let codes = SharedSlice::new(all.codes.spare_capacity_mut());
        let scales = SharedSlice::new(all.scales.spare_capacity_mut());
        let starts = SharedSlice::new(all.starts.spare_capacity_mut());
        let totals = SharedSlice::new(all.totals.spare_capacity_mut());
        let total_scales = SharedSlice::new(all.total_scales.spare_capacity_mut());
        // A super-block's columns of all rows.
        let task = |index: usize| {
            for token in 0..tokens {
                let x = &x[token * cols + index * SUPER_BLOCKS * BLOCK_COLUMNS..];
                let mut of = RoundedSuperBlock::default();
                quantize(x.first_chunk().expect("whole super-blocks"), &mut of);
                // SAFETY: a super-block that no other task writes.
                unsafe {
                    for block in 0..SUPER_BLOCKS {
                        let at = (index * SUPER_BLOCKS + block) * tokens + token;
                        codes.write(at, &[of.codes[block]]);
                        scales.write(at, &[of.scales[block]]);
                        starts.write(at, &[of.starts[block]]);
                    }
                    totals.write(index * tokens + token, &[of.totals]);
                    total_scales.write(index * tokens + token, &[of.total_scale]);
                }
            }
        };
        match tokens * cols {
            ..16384 => (0..supers).for_each(task),
            _ => pool::run(supers, &task),
        }
        // SAFETY: the tasks have filled all blocks of all rows.
        unsafe {
            all.codes.set_len(of_blocks);
            all.scales.set_len(of_blocks);
            all.starts.set_len(of_blocks);
            all.totals.set_len(of_supers);
            all.total_scales.set_len(of_supers);
        }
        all
    }
}

/// A row's part of a super-block.
#[derive(Default)]
struct RoundedSuperBlock {
    codes: [[i8; BLOCK_COLUMNS]; SUPER_BLOCKS],
    scales: [f32; SUPER_BLOCKS],
    starts: [[i32; 2]; SUPER_BLOCKS],
    totals: [i16; SUPER_BLOCKS],
    total_scale: f32,
}

for_the_machine!(
    /// Rounds the columns of a super-block.
    fn quantize(x: &[f32; SUPER_BLOCKS * BLOCK_COLUMNS], out: &mut RoundedSuperBlock) = quantize_one
);

#[inline(always)]
fn quantize_one<const FMA: bool>(x: &[f32; SUPER_BLOCKS * BLOCK_COLUMNS], out: &mut RoundedSuperBlock) {
    let mut sums = [0.0; SUPER_BLOCKS];
    for (block, x) in x.as_chunks::<BLOCK_COLUMNS>().0.iter().enumerate() {
        let largest = largest_of::<FMA>(x);
        let inverse = if largest > 0.0 { LARGEST / largest } else { 0.0 };
        out.codes[block] = x.map(|x| round(x * inverse) as i8);
        out.scales[block] = largest / LARGEST;
        let halves = out.codes[block].as_chunks::<{ BLOCK_COLUMNS / 2 }>().0;
        let [a, b] = [0, 1].map(|half| halves[half].iter().map(|code| i32::from(*code)).sum::<i32>());
        out.starts[block] = [-OFFSET * a, -OFFSET * b];
        sums[block] = out.scales[block] * (a + b) as f32;
    }
    let largest = sums.iter().fold(0f32, |largest, sum| largest.max(sum.abs()));
    let inverse = if largest > 0.0 { LARGEST_TOTAL / largest } else { 0.0 };
    for (place, total) in out.totals.iter_mut().enumerate() {
        *total = round(sums[place / 4 * 4 + QUAD[place % 4]] * inverse) as i16; // QUAD is its own inverse
    }
    out.total_scale = largest / LARGEST_TOTAL;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_totals_stand_for_the_activations() {
        let (tokens, cols) = (3, 512);
        let x: Vec<f32> =
            (0..tokens * cols).map(|i| ((i * 2654435761) % 1000) as f32 * 0.37 - 170.0).collect();
        let all = ActivationsQ8::quantize(&x, cols);
        for (i, x) in x.chunks(BLOCK_COLUMNS).enumerate() {
            let (token, block) = (i / (cols / BLOCK_COLUMNS), i % (cols / BLOCK_COLUMNS));
            let at = block * tokens + token;
            let (codes, scale) = (&all.codes[at], all.scales[at]);
            for (code, x) in codes.iter().zip(x) {
                assert!((scale * f32::from(*code) - x).abs() <= 0.501 * scale, "{x}");
            }
            let sum = |half: &[i8]| half.iter().map(|code| i32::from(*code)).sum::<i32>();
            assert_eq!(all.starts[at], [-32 * sum(&codes[..16]), -32 * sum(&codes[16..])]);
            let place = block % SUPER_BLOCKS / 4 * 4 + QUAD.iter().position(|of| *of == block % 4).unwrap();
            let (at, total) = (block / SUPER_BLOCKS * tokens + token, scale * sum(codes) as f32);
            let found = all.total_scales[at] * f32::from(all.totals[at][place]);
            assert!((found - total).abs() <= 0.51 * all.total_scales[at], "{found} {total}");
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let all = ActivationsQ8::quantize(&[0.0; 256], 256);
        assert_eq!((all.codes, all.scales), (vec![[0; BLOCK_COLUMNS]; 8], vec![0.0; 8]));
        assert_eq!((all.totals, all.total_scales), (vec![[0; SUPER_BLOCKS]], vec![0.0]));
    }
}
