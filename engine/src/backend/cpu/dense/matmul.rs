//! Products with dense weights: each row of activations has the same bits alone and among others.

use super::panel::LANES;
use super::weight_panel::{FEW, Matrix, Panel, SEGMENT, STRIP, add_segment, few};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::threads::pool;

/// Rows of activations whose totals stay in the second cache.
const CHUNK: usize = 512;
/// Bytes of weights that are worth a task of its own.
const TASK: usize = 1 << 15;
/// Tasks that a product of few rows is cut into at most: each is a long stream of weights.
const MOST_STREAMS: usize = 32;

/// `y = x · Wᵀ`: `x [tokens, cols]`, `w [rows, cols]` → `[tokens, rows]`.
pub(crate) fn matmul(x: &[f32], w: &[f32], cols: usize) -> Vec<f32> {
    let (x, w) = (Matrix { values: x, cols }, Matrix { values: w, cols });
    if x.rows() > FEW {
        return by_panels(x, w.rows(), |tile, first, panel| w.columns(tile * LANES, first, panel));
    }
    let (rows, tokens) = (w.rows(), x.all_rows());
    let mut y: Vec<f32> = Vec::with_capacity(tokens.len() * rows);
    let place = SharedSlice::new(y.spare_capacity_mut());
    let least = TASK.div_ceil(4 * cols);
    let step = rows.div_ceil(MOST_STREAMS).max(least).next_multiple_of(STRIP);
    pool::run(rows.div_ceil(step), &|task| {
        let outputs = task * step..rows.min((task + 1) * step);
        few(&tokens, w, outputs, |token, at, values| {
            // SAFETY: this task's outputs of this row.
            unsafe { place.write(token * rows + at, values) };
        });
    });
    // SAFETY: the tasks cover all outputs of all rows.
    unsafe { y.set_len(tokens.len() * rows) };
    y
}

/// `dx = dy · W`: `dy [tokens, rows]`, `w [rows, cols]` → `[tokens, cols]`.
pub(crate) fn matmul_transposed(dy: &[f32], w: &[f32], rows: usize) -> Vec<f32> {
    let (dy, w) = (Matrix { values: dy, cols: rows }, Matrix { values: w, cols: w.len() / rows });
    by_panels(dy, w.cols, |tile, first, panel| w.rows_of_columns(tile * LANES, first, panel))
}

/// `a [tokens, inner] · B → [tokens, width]`, where `panel(tile, first, panel)` gives the rows `first ..` of 16 columns
/// of `B [inner, width]`.
fn by_panels(a: Matrix, width: usize, panel: impl Fn(usize, usize, &mut Panel) + Sync) -> Vec<f32> {
    let tokens = a.all_rows();
    let mut out: Vec<f32> = Vec::with_capacity(tokens.len() * width);
    let place = SharedSlice::new(out.spare_capacity_mut());
    let tiles = width.div_ceil(LANES);
    pool::run(tiles * tokens.len().div_ceil(CHUNK), &|task| {
        let (chunk, tile) = (task / tiles, task % tiles);
        let first_token = chunk * CHUNK;
        let tokens = &tokens[first_token..tokens.len().min(first_token + CHUNK)];
        let mut totals = vec![[0f32; LANES]; tokens.len()];
        let mut rows = [[0f32; LANES]; SEGMENT];
        for first in (0..a.cols).step_by(SEGMENT) {
            let rows = &mut rows[..SEGMENT.min(a.cols - first)];
            panel(tile, first, rows);
            add_segment(tokens, first, rows, &mut totals);
        }
        let lanes = LANES.min(width - tile * LANES);
        for (token, totals) in totals.iter().enumerate() {
            // SAFETY: this task's lanes of this row.
            unsafe { place.write((first_token + token) * width + tile * LANES, &totals[..lanes]) };
        }
    });
    // SAFETY: the tasks cover all columns of all rows.
    unsafe { out.set_len(tokens.len() * width) };
    out
}
