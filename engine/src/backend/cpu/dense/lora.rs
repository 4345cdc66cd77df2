//! What adapters add to a product's rows: two thin products for each row, which has the same bits alone and among
//! others.

use std::sync::Arc;

use super::panel::{LANES, View, multiply};
use super::weight_panel::{FEW, Matrix, SEGMENT, add_segment, few};
use crate::backend::cpu::instructions::for_the_machine;
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::threads::pool;
use crate::ops::dropout::Mask;

/// Rows of a task where the weights are transposed in registers.
const FEW_ROWS: usize = 6;
/// Rows of a task where the weights were copied into panels before.
const MANY_ROWS: usize = 48;

/// One adapter's part in a product.
pub(crate) struct Part<'a> {
    /// All rows where there are none.
    pub rows: Option<Arc<[usize]>>,
    /// `[r, in]`
    pub a: &'a [f32],
    /// `[out, r]`
    pub b: &'a [f32],
    /// `[out]`
    pub factor: Option<&'a [f32]>,
    pub rank: usize,
    pub scale: f32,
    pub dropout: Option<Mask>,
}

impl<'a> Part<'a> {
    fn a(&self) -> Matrix<'a> {
        Matrix { values: self.a, cols: self.a.len() / self.rank }
    }

    fn b(&self) -> Matrix<'a> {
        Matrix { values: self.b, cols: self.rank }
    }

    fn len(&self, tokens: usize) -> usize {
        self.rows.as_ref().map_or(tokens, |rows| rows.len())
    }

    fn row(&self, index: usize) -> usize {
        self.rows.as_ref().map_or(index, |rows| rows[index])
    }
}

/// The transposed matrix, 16 rows of the original to a panel.
struct Panels {
    panels: Vec<[f32; LANES]>,
    /// Rows of a panel.
    len: usize,
}

impl Panels {
    fn columns(w: Matrix) -> Self {
        let len = w.cols;
        let mut panels = vec![[0f32; LANES]; w.rows().div_ceil(LANES) * len];
        pool::pieces(&mut panels, len, |tile, panel| w.columns(tile * LANES, 0, panel));
        Self { panels, len }
    }

    fn rows(w: Matrix) -> Self {
        let len = w.rows();
        let mut panels = vec![[0f32; LANES]; w.cols.div_ceil(LANES) * len];
        pool::pieces(&mut panels, len, |tile, panel| w.rows_of_columns(tile * LANES, 0, panel));
        Self { panels, len }
    }

    /// The products of `x` with each panel: `take(first column, of each row)`.
    fn multiply(&self, x: &[&[f32]], mut take: impl FnMut(usize, &[[f32; LANES]])) {
        let mut totals = vec![[0f32; LANES]; x.len()];
        for (tile, panel) in self.panels.chunks_exact(self.len).enumerate() {
            totals.fill([0.0; LANES]);
            for (index, panel) in panel.chunks(SEGMENT).enumerate() {
                add_segment(x, index * SEGMENT, panel, &mut totals);
            }
            take(tile * LANES, &totals);
        }
    }
}

/// `y = factor · (y + scale · B(A(dropout(x))))` in the rows of each part: `y [tokens, out]`, `x [tokens, in]`.
///
/// # Panics
/// If a row is in two parts, or a part's A, B or factor are of another product.
pub(crate) fn add(y: &mut [f32], x: &[f32], inputs: usize, parts: &[Part]) {
    let x = Matrix { values: x, cols: inputs };
    let tokens = x.rows();
    if tokens == 0 {
        return;
    }
    let out = y.len() / tokens;
    assert!(y.len() == tokens * out && x.values.len() == tokens * inputs, "x and y of as many rows");
    for part in parts {
        assert!(
            part.a.len() == part.rank * inputs && part.b.len() == out * part.rank,
            "A and B of [{out}, {inputs}]"
        );
        assert!(part.factor.is_none_or(|factor| factor.len() == out), "a factor an output");
    }
    let mut taken = vec![false; tokens];
    for row in parts.iter().flat_map(|part| (0..part.len(tokens)).map(|index| part.row(index))) {
        assert!(!std::mem::replace(&mut taken[row], true), "row {row} is in two parts");
    }
    let packed: Vec<Option<[Panels; 2]>> = parts
        .iter()
        .map(|part| (part.len(tokens) > FEW).then(|| [part.a(), part.b()].map(Panels::columns)))
        .collect();
    let mut tasks = Vec::new();
    for (part, packed) in parts.iter().zip(&packed) {
        let (len, most) = (part.len(tokens), if packed.is_some() { MANY_ROWS } else { FEW_ROWS });
        let pieces = len.div_ceil(most);
        let piece = |index: usize| (part, packed, index * len / pieces..(index + 1) * len / pieces);
        tasks.extend((0..pieces).map(piece));
    }
    let place = SharedSlice::over(y);
    pool::run(tasks.len(), &|task| {
        let (part, packed, indices) = &tasks[task];
        let rows: Vec<usize> = indices.clone().map(|index| part.row(index)).collect();
        let dropped = Rows::dropped(x, &rows, part.dropout);
        let x: Vec<&[f32]> = match &dropped {
            Some(dropped) => dropped.all(),
            None => rows.iter().map(|row| x.row(*row)).collect(),
        };
        let mut low = Rows::zeros(rows.len(), part.rank);
        let scale = part.scale;
        let add = |n: usize, at: usize, values: &[f32]| {
            // SAFETY: places of a row that is this task's alone.
            let y = unsafe { place.part(rows[n] * out + at, values.len()) };
            match part.factor {
                Some(factor) => {
                    let factor = &factor[at..];
                    y.iter_mut().zip(values).zip(factor).for_each(|((y, value), f)| *y = (*y + value) * f);
                }
                None => y.iter_mut().zip(values).for_each(|(y, value)| *y += value),
            }
        };
        match packed {
            Some([a, b]) => {
                a.multiply(&x, |at, totals| low.put_lanes(at, totals, scale));
                b.multiply(&low.all(), |at, totals| {
                    let lanes = LANES.min(out - at);
                    totals.iter().enumerate().for_each(|(n, totals)| add(n, at, &totals[..lanes]));
                });
            }
            None => {
                few(&x, part.a(), 0..part.rank, |n, at, values| low.put(n, at, values, scale));
                few(&low.all(), part.b(), 0..out, add);
            }
        }
    });
}

/// Some rows that a task makes.
struct Rows {
    values: Vec<f32>,
    width: usize,
}

impl Rows {
    fn zeros(rows: usize, width: usize) -> Self {
        Self { values: vec![0.0; rows * width], width }
    }

    /// Rows of `x`, multiplied by the mask's.
    fn dropped(x: Matrix, rows: &[usize], mask: Option<Mask>) -> Option<Self> {
        let mask = mask?;
        let mut dropped = Self::zeros(rows.len(), x.cols);
        for (row, to) in rows.iter().zip(dropped.values.chunks_exact_mut(x.cols)) {
            to.copy_from_slice(x.row(*row));
            mask.apply(row * x.cols, to);
        }
        Some(dropped)
    }

    fn all(&self) -> Vec<&[f32]> {
        self.values.chunks_exact(self.width).collect()
    }

    fn put(&mut self, row: usize, at: usize, values: &[f32], scale: f32) {
        let to = &mut self.values[row * self.width + at..];
        to.iter_mut().zip(values).for_each(|(to, value)| *to = scale * value);
    }

    /// The columns from `at` on, as far as there are any.
    fn put_lanes(&mut self, at: usize, lanes: &[[f32; LANES]], scale: f32) {
        let len = LANES.min(self.width - at);
        lanes.iter().enumerate().for_each(|(row, lanes)| self.put(row, at, &lanes[..len], scale));
    }
}

/// The gradients of [`add`] of a part with all rows and no factor: by `x` (if asked for), by `A` and by `B`.
pub(crate) fn backward(
    dy: &[f32],
    x: &[f32],
    part: &Part,
    by_x: bool,
) -> (Option<Vec<f32>>, Vec<f32>, Vec<f32>) {
    let (a, b, rank, scale) = (part.a(), part.b(), part.rank, part.scale);
    let (inputs, out) = (a.cols, b.rows());
    let (x, dy) = (Matrix { values: x, cols: inputs }, Matrix { values: dy, cols: out });
    let tokens = x.rows();
    let wide = rank.next_multiple_of(LANES); // what `low` and its gradient are padded to

    let mut buffers = [part.dropout.map_or(0, |_| inputs), wide, wide, if by_x { inputs } else { 0 }]
        .map(|width| vec![0f32; tokens * width]);
    let places = buffers.each_mut().map(|values| SharedSlice::over(values));
    let (to_low, to_d_low) = (Panels::columns(a), Panels::rows(b));
    let to_dx = by_x.then(|| Panels::rows(a));
    pool::run(tokens.div_ceil(MANY_ROWS), &|task| {
        let rows = task * MANY_ROWS..tokens.min((task + 1) * MANY_ROWS);
        let [dropped, low, d_low, dx] =
            [inputs, wide, wide, inputs].map(|width| (rows.start * width, rows.len() * width));
        // SAFETY: this task's rows of each buffer, as far as it exists.
        let [low, d_low] = unsafe { [places[1].part(low.0, low.1), places[2].part(d_low.0, d_low.1)] };
        let of = |to: &mut [f32], lanes: &[[f32; LANES]], at: usize, by: f32| {
            for (to, lanes) in to.chunks_exact_mut(wide).zip(lanes) {
                to[at..at + LANES].iter_mut().zip(lanes).for_each(|(to, value)| *to = by * value);
            }
        };
        let x: Vec<&[f32]> = match part.dropout {
            Some(mask) => {
                // SAFETY: as above.
                let to = unsafe { places[0].part(dropped.0, dropped.1) };
                to.copy_from_slice(&x.values[dropped.0..][..dropped.1]);
                mask.apply(dropped.0, to);
                to.chunks_exact(inputs).collect()
            }
            None => rows.clone().map(|row| x.row(row)).collect(),
        };
        to_low.multiply(&x, |at, totals| of(low, totals, at, scale));
        let dy: Vec<&[f32]> = rows.clone().map(|row| dy.row(row)).collect();
        to_d_low.multiply(&dy, |at, totals| of(d_low, totals, at, scale));
        if let Some(to_dx) = &to_dx {
            // SAFETY: as above.
            let to = unsafe { places[3].part(dx.0, dx.1) };
            let d_low: Vec<&[f32]> = d_low.chunks_exact(wide).map(|row| &row[..rank]).collect();
            to_dx.multiply(&d_low, |at, totals| {
                let lanes = LANES.min(inputs - at);
                for (to, totals) in to.chunks_exact_mut(inputs).zip(totals) {
                    to[at..at + lanes].copy_from_slice(&totals[..lanes]);
                }
            });
            if let Some(mask) = part.dropout {
                mask.apply(dx.0, to);
            }
        }
    });
    let [dropped, low, d_low, dx] = buffers;
    let x = if part.dropout.is_some() { Matrix { values: &dropped, cols: inputs } } else { x };

    // dAᵀ = xᵀ · d_low and dB = dyᵀ · low.
    let da = transposed_product(x, &d_low, wide); // [in, wide]
    let db = transposed_product(dy, &low, wide); // [out, wide]
    let da = (0..rank).flat_map(|r| da.iter().skip(r).step_by(wide).copied()).collect();
    let db = db.chunks_exact(wide).flat_map(|row| row[..rank].iter().copied()).collect();
    (by_x.then_some(dx), da, db)
}

/// Columns of a task of [`transposed_product`].
const COLUMNS: usize = 96;
/// Rows that are read in one go: the translations of their pages fit the level-1 TLB.
const WALK: usize = 64;

/// `aᵀ · b [cols, width]`: `a [tokens, cols]`, `b [tokens, width]`, `width` whole panels.
fn transposed_product(a: Matrix, b: &[f32], width: usize) -> Vec<f32> {
    let mut c = vec![0f32; a.cols * width];
    pool::pieces(&mut c, COLUMNS * width, |index, c| add_transposed_product(a, index * COLUMNS, b, c));
    c
}

for_the_machine!(
    fn add_transposed_product(a: Matrix, first: usize, b: &[f32], c: &mut [f32]) = add_transposed_segments
);

#[inline(always)]
fn add_transposed_segments<const FMA: bool>(a: Matrix, first: usize, b: &[f32], c: &mut [f32]) {
    let tokens = a.rows();
    let width = b.len() / tokens;
    let mut sums = vec![0f32; c.len()];
    for segment in (0..tokens).step_by(SEGMENT) {
        let end = tokens.min(segment + SEGMENT);
        sums.fill(0.0);
        for from in (segment..end).step_by(WALK) {
            let rows = WALK.min(end - from);
            let view = View { values: &a.values[from * a.cols + first..], row: 1, column: a.cols };
            let shape = [c.len() / width, rows, width];
            multiply::<FMA>(shape, view, (&b[from * width..], width), (&mut sums, width));
        }
        c.iter_mut().zip(&sums).for_each(|(c, sum)| *c += sum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::mix;

    fn values(len: usize, seed: u64) -> Vec<f32> {
        (0..len as u64).map(|i| (mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32 - 0.5).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_row_has_the_same_bits_alone_and_in_groups(
            tokens in 1usize..70,
            inputs in prop_oneof![1usize..40, 250usize..300],
            out in 1usize..60,
            rank in prop_oneof![1usize..20, Just(64)],
            drop: bool,
            seed: u64,
        ) {
            let (x, y) = (values(tokens * inputs, seed), values(tokens * out, seed ^ 1));
            let (a, b, factor) = (values(rank * inputs, seed ^ 2), values(out * rank, seed ^ 3), values(out, seed ^ 4));
            let part = |rows: Option<Arc<[usize]>>| Part {
                rows, a: &a, b: &b, factor: Some(&factor), rank, scale: 0.5, dropout: drop.then(|| Mask::new(0.3, seed)),
            };
            let mut expected = y.clone();
            for row in 0..tokens {
                add(&mut expected, &x, inputs, &[part(Some(Arc::new([row])))]);
            }
            let mut together = y.clone();
            add(&mut together, &x, inputs, &[part(None)]);
            prop_assert_eq!(&together, &expected);
            // Scattered over three parts, one row left out.
            let mut found = y.clone();
            let of = |third: u64| (0..tokens - 1).filter(|row| mix(seed, *row as u64) % 3 == third).collect();
            add(&mut found, &x, inputs, &[part(Some(of(0))), part(Some(of(1))), part(Some(of(2)))]);
            let last = (tokens - 1) * out;
            prop_assert_eq!(&found[..last], &expected[..last]);
            prop_assert_eq!(&found[last..], &y[last..]);
        }
    }

    #[test]
    #[should_panic(expected = "row 1 is in two parts")]
    fn rows_have_one_part() {
        let part = || Part {
            rows: Some(Arc::new([1])),
            a: &[1.0],
            b: &[1.0],
            factor: None,
            rank: 1,
            scale: 1.0,
            dropout: None,
        };
        add(&mut [0.0, 0.0], &[1.0, 1.0], 1, &[part(), part()]);
    }

    #[test]
    #[should_panic(expected = "A and B of [1, 1]")]
    fn a_part_of_a_wider_product_is_refused() {
        // Its 48 outputs would be written behind the row, and the last of them behind `y`.
        let (a, b) = ([1.0], [1.0; 48]);
        let part = Part { rows: None, a: &a, b: &b, factor: None, rank: 1, scale: 1.0, dropout: None };
        add(&mut [0.0], &[1.0], 1, &[part]);
    }
}
