//! Products with an f32 matrix `W [rows, cols]` as it lies in memory. Each output is a sum over the columns in one
//! fixed order, by segments, whatever the number of rows of activations, of threads, or the instruction set (as far
//! as it has fused multiplication): lanes are outputs, so wider vectors only hold more of them.

use std::ops::Range;

use super::panel::{LANES, ROWS, product};
use crate::backend::cpu::instructions::for_the_machine;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::{
    instructions::{has_avx2, has_avx512},
    x86,
};

/// Addends of a sum that are added up by themselves before they are added to the total. It bounds the rounding error
/// of long sums; a panel of so many rows fits half of the nearest cache.
pub(crate) const SEGMENT: usize = 256;
/// Rows of activations up to which the weights are not copied into panels, but transposed in registers as they are read.
pub(crate) const FEW: usize = 12;
/// Rows of activations that are multiplied together when they are few.
const TOGETHER: usize = 6;
/// Neighbouring outputs that are computed together when the rows of activations are few.
pub(crate) const STRIP: usize = 8;

/// Some rows of 16 neighbouring columns.
pub(crate) type Panel = [[f32; LANES]];

/// A row-major matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub cols: usize,
}

impl<'a> Matrix<'a> {
    pub fn rows(self) -> usize {
        self.values.len() / self.cols
    }

    pub fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.cols..][..self.cols]
    }

    /// Row by row.
    pub fn all_rows(self) -> Vec<&'a [f32]> {
        self.values.chunks_exact(self.cols).collect()
    }

    /// The columns `first ..` of 16 rows from `row` on, as the rows of a panel; zeros for rows that the matrix lacks.
    pub fn columns(self, row: usize, first: usize, panel: &mut Panel) {
        let rows = LANES.min(self.rows() - row);
        if rows < LANES {
            panel.fill([0.0; LANES]);
        }
        let values = &self.values[row * self.cols + first..];
        #[cfg(target_arch = "x86_64")]
        if rows == LANES && has_avx2() {
            assert!(first + panel.len() <= self.cols);
            // SAFETY: the instructions exist, and so do 16 rows of these columns.
            return unsafe { x86::transpose(values.as_ptr(), self.cols, panel) };
        }
        for (lane, values) in values.chunks(self.cols).take(rows).enumerate() {
            panel.iter_mut().zip(values).for_each(|(row, value)| row[lane] = *value);
        }
    }

    /// 16 columns from `column` on of the rows `first ..`; zeros for columns that the matrix lacks.
    pub fn rows_of_columns(self, column: usize, first: usize, panel: &mut Panel) {
        let lanes = LANES.min(self.cols - column);
        for (index, to) in panel.iter_mut().enumerate() {
            let from = &self.row(first + index)[column..][..lanes];
            match from.first_chunk() {
                Some(whole) => *to = *whole,
                None => {
                    *to = [0.0; LANES];
                    to[..lanes].copy_from_slice(from);
                }
            }
        }
    }
}

/// `totals[n] += x[n][first ..] · panel`, the panel's rows added up by themselves.
pub(crate) fn add_segment(x: &[&[f32]], first: usize, panel: &Panel, totals: &mut [[f32; LANES]]) {
    assert!(x.len() == totals.len() && x.iter().all(|x| x.len() >= first + panel.len()));
    #[cfg(target_arch = "x86_64")]
    if has_avx512() {
        // SAFETY: the instructions exist; the bounds are asserted.
        return unsafe { x86::add_segment_avx512(x, first, panel, totals) };
    }
    add_segment_here(x, first, panel, totals);
}

for_the_machine!(
    fn add_segment_here(x: &[&[f32]], first: usize, panel: &Panel, totals: &mut [[f32; LANES]])
        = add_segment_to_all
);

#[inline(always)]
fn add_segment_to_all<const FMA: bool>(
    x: &[&[f32]],
    first: usize,
    panel: &Panel,
    totals: &mut [[f32; LANES]],
) {
    let mut done = 0;
    while done < x.len() {
        let (x, totals) = (&x[done..], &mut totals[done..]);
        done += match x.len() {
            ROWS.. => add_segment_to::<FMA, ROWS>(x, first, panel, totals),
            4.. => add_segment_to::<FMA, 4>(x, first, panel, totals),
            2.. => add_segment_to::<FMA, 2>(x, first, panel, totals),
            _ => add_segment_to::<FMA, 1>(x, first, panel, totals),
        };
    }
}

/// To the first `N` rows, which are returned.
#[inline(always)]
fn add_segment_to<const FMA: bool, const N: usize>(
    x: &[&[f32]],
    first: usize,
    panel: &Panel,
    totals: &mut [[f32; LANES]],
) -> usize {
    let rows = std::array::from_fn(|n| &x[n][first..]);
    let sums = product::<FMA, N>(panel.len(), (rows, 1), (panel.as_flattened(), LANES), [[0.0; LANES]; N]);
    for (totals, sums) in totals.iter_mut().zip(sums) {
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    N
}

/// The outputs `outputs` of few rows `x` of activations: `write(n, first, values)` gets those of `x[n]` from the
/// output `first` on, in strips.
pub(crate) fn few(
    x: &[&[f32]],
    w: Matrix,
    outputs: Range<usize>,
    mut write: impl FnMut(usize, usize, &[f32]),
) {
    assert!(outputs.end <= w.rows() && x.iter().all(|x| x.len() == w.cols));
    #[cfg(target_arch = "x86_64")]
    if outputs.len() >= STRIP && has_avx2() {
        for begin in outputs.clone().step_by(STRIP) {
            // The last strip overlaps the one before.
            let strip = begin.min(outputs.end - STRIP);
            for (index, x) in x.chunks(TOGETHER).enumerate() {
                let mut put = |n: usize, values: [f32; STRIP]| {
                    write(index * TOGETHER + n, begin, &values[begin - strip..]);
                };
                // SAFETY: the instructions exist; the bounds are asserted.
                unsafe {
                    match x {
                        [a, b, c, d, e, f] => few_in_avx2([a, b, c, d, e, f], w, strip, &mut put),
                        [a, b, c, d, e] => few_in_avx2([a, b, c, d, e], w, strip, &mut put),
                        [a, b, c, d] => few_in_avx2([a, b, c, d], w, strip, &mut put),
                        [a, b, c] => few_in_avx2([a, b, c], w, strip, &mut put),
                        [a, b] => few_in_avx2([a, b], w, strip, &mut put),
                        [a] => few_in_avx2([a], w, strip, &mut put),
                        _ => unreachable!("chunks of at most 6"),
                    }
                }
            }
        }
        return;
    }
    let mut panel = [[0f32; LANES]; SEGMENT];
    for row in outputs.clone().step_by(LANES) {
        let mut totals = vec![[0f32; LANES]; x.len()];
        for first in (0..w.cols).step_by(SEGMENT) {
            let panel = &mut panel[..SEGMENT.min(w.cols - first)];
            w.columns(row, first, panel);
            add_segment(x, first, panel, &mut totals);
        }
        let lanes = LANES.min(outputs.end - row);
        totals.iter().enumerate().for_each(|(n, totals)| write(n, row, &totals[..lanes]));
    }
}

/// # Safety
/// AVX2 and FMA; as many values in each of `x` as `w` has columns; a strip of rows of `w` from `row` on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn few_in_avx2<const N: usize>(
    x: [&[f32]; N],
    w: Matrix,
    row: usize,
    put: &mut impl FnMut(usize, [f32; STRIP]),
) {
    let strip = w.values[row * w.cols..].as_ptr();
    // SAFETY: the caller's.
    let sums = unsafe { x86::few_rows(x.map(<[f32]>::as_ptr), strip, w.cols) };
    sums.into_iter().enumerate().for_each(|(n, sums)| put(n, sums));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::mix;

    fn values(len: usize, seed: u64) -> Vec<f32> {
        (0..len as u64).map(|i| (mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32 - 0.5).collect()
    }

    /// Every output, by panels.
    fn by_panels(
        x: &[&[f32]],
        w: Matrix,
        add: impl Fn(&[&[f32]], usize, &Panel, &mut [[f32; LANES]]),
    ) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len() * w.rows()];
        for row in (0..w.rows()).step_by(LANES) {
            let mut totals = vec![[0f32; LANES]; x.len()];
            for first in (0..w.cols).step_by(SEGMENT) {
                let mut panel = vec![[f32::NAN; LANES]; SEGMENT.min(w.cols - first)];
                w.columns(row, first, &mut panel);
                add(x, first, &panel, &mut totals);
            }
            for (n, totals) in totals.iter().enumerate() {
                let lanes = LANES.min(w.rows() - row);
                y[n * w.rows() + row..][..lanes].copy_from_slice(&totals[..lanes]);
            }
        }
        y
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_output_has_the_same_bits_however_it_is_computed(
            count in 1usize..30,
            rows in 1usize..50,
            cols in prop_oneof![1usize..40, 250usize..600],
            seed: u64,
        ) {
            let (x, w) = (values(count * cols, seed), values(rows * cols, seed ^ 1));
            let (x, w) = (Matrix { values: &x, cols }, Matrix { values: &w, cols });
            let expected = by_panels(&x.all_rows(), w, add_segment);
            for (n, row) in x.all_rows().into_iter().enumerate() {
                let exact = |output: usize| -> f64 {
                    row.iter().zip(w.row(output)).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
                };
                let found = &expected[n * rows..(n + 1) * rows];
                prop_assert!(found.iter().enumerate().all(|(i, y)| (f64::from(*y) - exact(i)).abs() < 1e-4));
                let alone = by_panels(&[row], w, add_segment);
                prop_assert_eq!(&alone, found);
            }
            prop_assert_eq!(&by_panels(&x.all_rows(), w, add_segment_here), &expected);
            let mut y = vec![f32::NAN; count * rows];
            let (before, after) = (0..rows / 3, rows / 3..rows);
            for outputs in [before, after] {
                few(&x.all_rows(), w, outputs, |n, at, values| y[n * rows + at..][..values.len()].copy_from_slice(values));
            }
            prop_assert_eq!(&y, &expected);
        }
    }
}
