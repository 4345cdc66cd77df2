//! Activations rounded to integers: of 16 bits, or for k-quants to [`ActivationsQ8`].

use std::ops::Range;

use crate::backend::cpu::instructions::for_the_machine;
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q8::ActivationsQ8;
use crate::backend::cpu::threads::pool;
use crate::quant::Format;

/// Columns whose codes a kernel multiplies with one step of the weights' scales.
pub(crate) const BLOCK_COLUMNS: usize = 32;
/// Blocks of a super-block of k-quants.
pub(crate) const SUPER_BLOCKS: usize = 8;
/// The largest code: two 8-bit digits of which the high one is at most 127.
const LARGEST: f32 = 32512.0;
/// The largest code of gradients: 32 products with weights of as many bits just fit 32 bits.
const LARGEST_OF_GRADIENTS: f32 = 8191.0;
/// The order of the codes of four neighbouring columns. Kernels widen a word of four weights to pairs of 16 bits: masking
/// gives its bytes 0 and 2, shifting by 8 its bytes 1 and 3.
pub(crate) const QUAD: [usize; 4] = [0, 2, 1, 3];

/// Rows of activations as integers, `x ≈ scale · code`, in blocks of 32 columns. A block of all rows
/// lies together, because a kernel decodes a block of weights once and multiplies all rows by it.
///
/// A row has one scale: with 16 bits that is precise enough, whatever the row (no value is more than `√cols`
/// times the root of the mean square, so the error is at most `√(cols / 12) / 32512` of the row's norm, 0.0007
/// for 6000 columns), and it leaves a kernel's inner loop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activations {
    /// Rows.
    pub tokens: usize,
    /// `[cols / 32][tokens][32]`, −32512..=32512, quads in the order of [`QUAD`].
    pub codes: Vec<i16>,
    /// `[tokens]`; those of gradients `[cols / 32][tokens]`.
    pub scales: Vec<f32>,
    /// Sum of the codes of each block, `[cols / 32][tokens]`: an integer of less than 24 bits.
    pub totals: Vec<f32>,
    /// `[cols / 32][tokens]`, where there are at most [`FEW`] rows; else nothing.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub digits: Vec<Digits>,
    /// The activations for k-quants; the fields above are empty then.
    pub q8: ActivationsQ8,
}

/// Rows of a task.
const ROWS: usize = 8;

/// Rows that a kernel may multiply by their digits.
pub(crate) const FEW: usize = 3;

/// 32 codes as `256 · high + low`, in the columns' own order: for instructions that multiply unsigned weights
/// by signed bytes.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digits {
    pub high: [i8; BLOCK_COLUMNS],
    pub low: [i8; BLOCK_COLUMNS],
}

impl Digits {
    fn of(codes: &[i16; BLOCK_COLUMNS]) -> Self {
        let mut digits = Self { high: [0; BLOCK_COLUMNS], low: [0; BLOCK_COLUMNS] };
        for quad in 0..BLOCK_COLUMNS / 4 {
            for (place, column) in QUAD.into_iter().enumerate() {
                let (code, column) = (codes[4 * quad + place], 4 * quad + column);
                digits.low[column] = code as i8;
                digits.high[column] = ((code - i16::from(digits.low[column])) >> 8) as i8;
            }
        }
        digits
    }
}

impl Activations {
    /// Rounds `x [tokens][cols]`, `cols` a multiple of the block length, to nearest, for matrices of `format`.
    pub fn quantize(x: &[f32], cols: usize, format: Format) -> Self {
        match format.has_super_blocks() {
            true => Self { tokens: x.len() / cols, q8: ActivationsQ8::quantize(x, cols), ..Self::default() },
            false => Self::by_scales(x, cols, cols, LARGEST),
        }
    }

    /// Rounds gradients, with a scale for every block: a row of logits' gradients has one large number among thousands of
    /// small ones, and with one scale the small ones would all become zero.
    pub fn gradients(x: &[f32], cols: usize) -> Self {
        Self::by_scales(x, cols, BLOCK_COLUMNS, LARGEST_OF_GRADIENTS)
    }

    /// Rounds with a scale for every `shared` columns, whose largest value gets the code `most`.
    fn by_scales(x: &[f32], cols: usize, shared: usize, most: f32) -> Self {
        // Otherwise the last codes of a row would stay uninitialized.
        assert!(
            cols.is_multiple_of(shared) && shared.is_multiple_of(BLOCK_COLUMNS),
            "{cols} columns, {shared} to a scale"
        );
        let (tokens, blocks) = (x.len() / cols, cols / BLOCK_COLUMNS);
        let mut all = Self {
            tokens,
            codes: Vec::with_capacity(tokens * cols),
            scales: Vec::with_capacity(tokens * (cols / shared)),
            totals: Vec::with_capacity(tokens * blocks),
            digits: Vec::new(),
            q8: ActivationsQ8::default(),
        };
        let block_of = block_quantizer();
        let codes = SharedSlice::new(all.codes.spare_capacity_mut());
        let scales = SharedSlice::new(all.scales.spare_capacity_mut());
        let totals = SharedSlice::new(all.totals.spare_capacity_mut());
        let part = |rows: Range<usize>, index: usize| {
            for token in rows {
                let x = &x[token * cols + index * shared..][..shared];
                let largest = largest(x);
                let inverse = if largest > 0.0 { most / largest } else { 0.0 };
                // SAFETY: a scale that no other task writes.
                unsafe { scales.write(index * tokens + token, &[largest / most]) };
                for (block, x) in x.as_chunks().0.iter().enumerate() {
                    let at = (index * shared / BLOCK_COLUMNS + block) * tokens + token;
                    let mut block = [0; BLOCK_COLUMNS];
                    let sum = block_of(x, inverse, &mut block);
                    // SAFETY: a block that no other task writes.
                    unsafe {
                        codes.write(at * BLOCK_COLUMNS, &block);
                        totals.write(at, &[sum as f32]);
                    }
                }
            }
        };
        // A task is some whole rows, or with several scales a row some columns of all rows, whose codes lie side by side.
        let (rows, parts) = if shared == cols { (ROWS, 1) } else { (tokens, SUPER_BLOCKS) };
        let (row_tasks, parts_in_all) = (tokens.div_ceil(rows.max(1)), cols / shared);
        let task = |task: usize| {
            let (first, row) = (task / row_tasks * parts, task % row_tasks * rows);
            for index in first..parts_in_all.min(first + parts) {
                part(row..tokens.min(row + rows), index);
            }
        };
        let tasks = row_tasks * parts_in_all.div_ceil(parts);
        match tokens * cols {
            ..16384 => (0..tasks).for_each(task),
            _ => pool::run(tasks, &task),
        }
        // SAFETY: the rows have filled all their blocks.
        unsafe {
            all.codes.set_len(tokens * cols);
            all.scales.set_len(tokens * (cols / shared));
            all.totals.set_len(tokens * blocks);
        }
        if cfg!(target_arch = "x86_64") && tokens <= FEW {
            all.digits = all.codes.as_chunks().0.iter().map(Digits::of).collect();
        }
        all
    }
}

for_the_machine!(
    /// The largest magnitude of a row; a NaN if there is one.
    fn largest(x: &[f32]) -> f32 = largest_of
);

/// See [`largest`].
#[inline(always)]
pub(crate) fn largest_of<const FMA: bool>(x: &[f32]) -> f32 {
    // Compared as integers, which have the same order: the compiler vectorizes a maximum of integers.
    f32::from_bits(x.iter().fold(0, |max, x| max.max(x.abs().to_bits())))
}

type BlockQuantizer = fn(&[f32; BLOCK_COLUMNS], f32, &mut [i16; BLOCK_COLUMNS]) -> i32;

fn block_quantizer() -> BlockQuantizer {
    #[cfg(target_arch = "x86_64")]
    if crate::backend::cpu::instructions::has_avx2() {
        // SAFETY: the instructions exist.
        return |x, inverse, codes| unsafe { super::quantize_avx2::quantize_block(x, inverse, codes) };
    }
    quantize_block
}

/// The codes of `x · inverse`; returns their sum.
pub(crate) fn quantize_block(
    x: &[f32; BLOCK_COLUMNS],
    inverse: f32,
    codes: &mut [i16; BLOCK_COLUMNS],
) -> i32 {
    let rounded = x.map(|x| round(x * inverse));
    for (codes, rounded) in codes.as_chunks_mut::<4>().0.iter_mut().zip(rounded.as_chunks::<4>().0) {
        *codes = QUAD.map(|column| rounded[column] as i16);
    }
    rounded.iter().sum()
}

/// Rounds to nearest, ties to even, for magnitudes below 2²²: adding 1.5 · 2²³ leaves the integer in
/// the low bits of the mantissa. (`f32::round_ties_even` is a call without SSE 4.1.)
pub(crate) fn round(value: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 2654435761) % 1000) as f32 * 0.37 - 170.0).collect()
    }

    #[test]
    fn codes_stand_for_the_activations() {
        let (tokens, cols) = (3, 512);
        let x = values(tokens * cols);
        let all = Activations::quantize(&x, cols, Format::Q4_0);
        for (i, value) in x.iter().enumerate() {
            let (token, column) = (i / cols, i % cols);
            let at = column / BLOCK_COLUMNS * tokens + token;
            let quad = QUAD.iter().position(|from| *from == column % 4).unwrap();
            let code = all.codes[at * BLOCK_COLUMNS + column % BLOCK_COLUMNS / 4 * 4 + quad];
            if let Some(Digits { high, low }) = all.digits.get(at) {
                let column = column % BLOCK_COLUMNS;
                assert_eq!(i32::from(code), 256 * i32::from(high[column]) + i32::from(low[column]));
            }
            let scale = all.scales[token];
            assert!((scale * f32::from(code) - value).abs() <= 0.51 * scale, "{value}");
        }
        for (i, x) in x.chunks(BLOCK_COLUMNS).enumerate() {
            let (token, block) = (i / (cols / BLOCK_COLUMNS), i % (cols / BLOCK_COLUMNS));
            let (total, scale) = (all.totals[block * tokens + token], all.scales[token]);
            assert!((scale * total - x.iter().sum::<f32>()).abs() <= 17.0 * scale);
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let all = Activations::quantize(&[0.0; 32], 32, Format::Q4_0);
        assert_eq!((all.codes, all.scales, all.totals), (vec![0; 32], vec![0.0], vec![0.0]));
    }

    #[test]
    fn the_machines_quantizer_is_the_portable_one() {
        let mut all = values(32 * 40);
        all[..32].fill(0.0);
        for x in all.as_chunks::<BLOCK_COLUMNS>().0 {
            let (mut fast, mut portable) = ([0; BLOCK_COLUMNS], [0; BLOCK_COLUMNS]);
            let sums = block_quantizer()(x, 150.0, &mut fast);
            assert_eq!((sums, fast), (quantize_block(x, 150.0, &mut portable), portable));
        }
    }

    #[test]
    fn rounding_is_to_even() {
        for value in [-32512.0f32, -2.5, -0.5, 0.0, 0.49, 1.5, 2.5, 32511.6] {
            assert_eq!(round(value), value.round_ties_even() as i32);
        }
    }

    #[test]
    #[should_panic(expected = "48 columns, 48 to a scale")]
    fn part_of_a_block_is_refused() {
        Activations::quantize(&[1.0; 48], 48, Format::Q4_0);
    }
}
