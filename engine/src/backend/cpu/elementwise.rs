//! The ops between the products, row by row: normalization, rotation, gate. Plain loops over lanes, which
//! the compiler turns into the vectors of the machine.

use crate::backend::cpu::instructions::{fma, for_the_machine};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::threads::pool;
use crate::ops::dropout::Mask;

/// Lanes of a sum; the order of its additions is fixed.
const LANES: usize = 16;
/// Elements that are worth a task of its own.
const TASK: usize = 1 << 13;

/// `eˣ` to about one part in 10⁷; 0 below −87, as the sums of a softmax want it.
///
/// Source: Cephes' `expf`: reduction by ln 2 in two parts, polynomial of degree 6.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // leaves an integer in the low bits of the mantissa
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = fma::<FMA>(clamped, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = fma::<FMA>(n, -0.693_359_4, clamped);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma::<FMA>(p, r, c);
    }
    let value = fma::<FMA>(p * r, r, r) + 1.0;
    let power = f32::from_bits(((shifted.to_bits() as i32 - SHIFT.to_bits() as i32 + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { value * power }
}

#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = fma::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] = fma::<FMA>(*a, *b, lanes[i]);
    }
    lanes.iter().sum()
}

#[inline(always)]
fn rms_norm_row<const FMA: bool>(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let inverse = 1.0 / (dot::<FMA>(x, x) / x.len() as f32 + eps).sqrt();
    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * weight;
    }
}

#[inline(always)]
fn rms_norm_backward_row<const FMA: bool>(dy: &[f32], x: &[f32], weight: &[f32], eps: f32, dx: &mut [f32]) {
    // y = x · n · w with n = (mean x² + eps)^(-1/2), so dx = n · (dy·w) − x · n³ / len · Σ dy·w·x.
    let inverse = 1.0 / (dot::<FMA>(x, x) / x.len() as f32 + eps).sqrt();
    for ((dx, dy), weight) in dx.iter_mut().zip(dy).zip(weight) {
        *dx = dy * weight;
    }
    let along = dot::<FMA>(dx, x) * inverse * inverse / x.len() as f32;
    for (dx, x) in dx.iter_mut().zip(x) {
        *dx = inverse * (*dx - along * x);
    }
}

#[inline(always)]
fn swiglu_row<const FMA: bool>(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate / (1.0 + exp::<FMA>(-gate)) * up;
    }
}

#[inline(always)]
fn swiglu_backward_row<const FMA: bool>(
    dy: &[f32],
    gate: &[f32],
    up: &[f32],
    d_gate: &mut [f32],
    d_up: &mut [f32],
) {
    for ((((dy, gate), up), d_gate), d_up) in dy.iter().zip(gate).zip(up).zip(d_gate).zip(d_up) {
        let sigmoid = 1.0 / (1.0 + exp::<FMA>(-gate));
        *d_up = dy * gate * sigmoid;
        *d_gate = dy * up * sigmoid * fma::<FMA>(*gate, 1.0 - sigmoid, 1.0);
    }
}

/// Logits to `softmax − onehot(target)`, the gradient of `−log softmax(x)[target]`, which is returned.
#[inline(always)]
fn cross_entropy_row<const FMA: bool>(x: &mut [f32], target: usize) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for i in 0..LANES {
            lanes[i] = if x[i] > lanes[i] { x[i] } else { lanes[i] };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max });
    let score = x[target] - max;
    for x in x.iter_mut() {
        *x = exp::<FMA>(*x - max);
    }
    // 1024 numbers are summed in f32 and these sums in f64: a sum over the whole vocabulary would lose digits in f32.
    let sum = |x: &[f32]| {
        let mut lanes = [0f32; LANES];
        x.chunks(LANES).for_each(|x| lanes.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
        f64::from(lanes.iter().sum::<f32>())
    };
    let total: f64 = x.chunks(1024).map(sum).sum();
    let inverse = (1.0 / total) as f32;
    x.iter_mut().for_each(|x| *x *= inverse);
    x[target] -= 1.0;
    (total.ln() - f64::from(score)) as f32
}

#[inline(always)]
fn rotary_row<const FMA: bool>(x: &[f32], cos: &[f32], sin: &[f32], y: &mut [f32]) {
    let half = cos.len();
    for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
        let ((x1, x2), (y1, y2)) = (x.split_at(half), y.split_at_mut(half));
        for i in 0..half {
            y1[i] = x1[i] * cos[i] - x2[i] * sin[i];
            y2[i] = fma::<FMA>(x2[i], cos[i], x1[i] * sin[i]);
        }
    }
}

for_the_machine!(fn rms_norm_one(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) = rms_norm_row);
for_the_machine!(
    fn rms_norm_backward_one(dy: &[f32], x: &[f32], weight: &[f32], eps: f32, dx: &mut [f32])
        = rms_norm_backward_row
);
for_the_machine!(fn swiglu_one(gate: &[f32], up: &[f32], y: &mut [f32]) = swiglu_row);
for_the_machine!(
    fn swiglu_backward_one(dy: &[f32], gate: &[f32], up: &[f32], d_gate: &mut [f32], d_up: &mut [f32])
        = swiglu_backward_row
);
for_the_machine!(fn cross_entropy_one(x: &mut [f32], target: usize) -> f32 = cross_entropy_row);
for_the_machine!(fn rotary_one(x: &[f32], cos: &[f32], sin: &[f32], y: &mut [f32]) = rotary_row);

/// `N` times `len` elements in rows of `width`, in pieces for the pool: `task(first element, pieces)`, which
/// come cleared.
fn by_rows<const N: usize>(
    len: usize,
    width: usize,
    task: impl Fn(usize, [&mut [f32]; N]) + Sync,
) -> [Vec<f32>; N] {
    let piece = (TASK / width.max(1)).max(1) * width.max(1);
    let mut all: [Vec<f32>; N] = std::array::from_fn(|_| Vec::with_capacity(len));
    let places = all.each_mut().map(|values| SharedSlice::new(&mut values.spare_capacity_mut()[..len]));
    pool::run(len.div_ceil(piece), &|index| {
        let first = index * piece;
        // SAFETY: this task's piece, within the capacity.
        let pieces = places.each_ref().map(|place| unsafe { place.cleared(first, piece.min(len - first)) });
        task(first, pieces);
    });
    for values in &mut all {
        // SAFETY: the tasks had all pieces cleared.
        unsafe { values.set_len(len) };
    }
    all
}

/// `y = x / sqrt(mean(x²) + eps) · weight`, by rows of `weight`'s length.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let [y] = by_rows(x.len(), width, |first, [y]| {
        for (x, y) in x[first..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            rms_norm_one(x, weight, eps, y);
        }
    });
    y
}

/// The gradient of [`rms_norm`] by `x`.
pub(crate) fn rms_norm_backward(dy: &[f32], x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let [dx] = by_rows(x.len(), width, |first, [dx]| {
        let rows = dy[first..].chunks_exact(width).zip(x[first..].chunks_exact(width));
        for ((dy, x), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            rms_norm_backward_one(dy, x, weight, eps, dx);
        }
    });
    dx
}

/// `silu(gate) · up`.
pub(crate) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let [y] = by_rows(gate.len(), 16, |first, [y]| swiglu_one(&gate[first..], &up[first..], y));
    y
}

/// The gradients of [`swiglu`] by `gate` and by `up`.
pub(crate) fn swiglu_backward(dy: &[f32], gate: &[f32], up: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let [d_gate, d_up] = by_rows(dy.len(), 16, |first, [d_gate, d_up]| {
        swiglu_backward_one(&dy[first..], &gate[first..], &up[first..], d_gate, d_up);
    });
    (d_gate, d_up)
}

/// `x ∘ mask`.
pub(crate) fn dropout(x: &[f32], mask: Mask) -> Vec<f32> {
    let [y] = by_rows(x.len(), 4, |first, [y]| {
        for (index, (y, x)) in y.chunks_mut(4).zip(x[first..].chunks(4)).enumerate() {
            let factors = mask.factors(first / 4 + index);
            y.iter_mut().zip(x).zip(factors).for_each(|((y, x), factor)| *y = x * factor);
        }
    });
    y
}

/// Turns `logits [targets, vocab]` into the gradient of `Σ −log softmax(logits)[target]`, and returns the
/// addends.
pub(crate) fn cross_entropy(logits: &mut [f32], targets: &[u32]) -> Vec<f32> {
    let mut nll = vec![0.0; targets.len()];
    let width = logits.len() / targets.len().max(1);
    assert_eq!(logits.len(), width * targets.len(), "{} logits for {} targets", logits.len(), targets.len());
    let place = SharedSlice::over(&mut nll);
    pool::pieces(logits, width, |row, logits| {
        let nll = cross_entropy_one(logits, targets[row] as usize);
        // SAFETY: this task's row.
        unsafe { place.write(row, &[nll]) };
    });
    nll
}

/// Rotates every head of `x [tokens, heads, head_dim]` by its token's angles, `[tokens, head_dim / 2]`.
pub(crate) fn rotary(x: &[f32], cos: &[f32], sin: &[f32], tokens: usize) -> Vec<f32> {
    let (width, half) = (x.len() / tokens.max(1), cos.len() / tokens.max(1));
    let [y] = by_rows(x.len(), width, |first, [y]| {
        for (index, y) in y.chunks_exact_mut(width).enumerate() {
            let token = first / width + index;
            let angles = token * half..(token + 1) * half;
            rotary_one(&x[token * width..(token + 1) * width], &cos[angles.clone()], &sin[angles], y);
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_parts_in_ten_million() {
        for i in -870..880 {
            let x = i as f32 * 0.1;
            let expected = f64::from(x).exp();
            for found in [exp::<false>(x), exp::<true>(x)] {
                assert!(((f64::from(found) - expected) / expected).abs() < 2e-7, "{x}: {found} {expected}");
            }
        }
        assert_eq!((exp::<false>(f32::NEG_INFINITY), exp::<false>(0.0)), (0.0, 1.0));
    }
}
