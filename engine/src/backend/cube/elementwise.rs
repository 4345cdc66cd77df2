//! Norm, gate, rotation and dropout.

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{UNITS, cubes, elements, empty_like, input, output};
use crate::ops::dropout::Mask;

/// The sum of every unit's `value`, in an order of its own; `shared` has a place for each unit.
#[cube]
fn sum(value: f32, shared: &mut Shared<[f32]>, #[comptime] units: u32) -> f32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let steps = comptime!(units.ilog2());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(units >> (step + 1));
        if UNIT_POS < half {
            let other = shared[(UNIT_POS + half) as usize];
            shared[UNIT_POS as usize] += other;
        }
        sync_cube();
    }
    shared[0]
}

#[cube(launch)]
fn rms_norm_rows(
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    rows: usize,
    hidden: usize,
    eps: f32,
    #[comptime] units: u32,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let row = CUBE_POS;
    if row < rows {
        let first = row * hidden;
        let mut squares = 0.0f32;
        let mut at = UNIT_POS as usize;
        while at < hidden {
            let value = x[first + at];
            squares += value * value;
            at += comptime!(units as usize);
        }
        let mean = sum(squares, &mut shared, units) / f32::cast_from(hidden);
        let inverse = 1.0f32 / (mean + eps).sqrt();
        let mut at = UNIT_POS as usize;
        while at < hidden {
            y[first + at] = x[first + at] * inverse * weight[at];
            at += comptime!(units as usize);
        }
    }
}

/// `x / sqrt(mean(x²) + eps) · weight`: `x [tokens, hidden]`, `weight [hidden]`.
pub(super) fn rms_norm(x: &CubeTensor, weight: &CubeTensor, eps: f32) -> CubeTensor {
    let ([rows, hidden], y) = (x.shape().dims(), empty_like(x));
    rms_norm_rows::launch(
        &x.client,
        cubes(rows),
        CubeDim::new_1d(UNITS),
        input(x),
        input(weight),
        output(&y),
        rows,
        hidden,
        eps,
        UNITS,
    );
    y
}

#[cube(launch)]
fn swiglu_elements(gate: &[f32], up: &[f32], y: &mut [f32], count: usize) {
    let at = ABSOLUTE_POS;
    if at < count {
        let x = gate[at];
        y[at] = x / (1.0f32 + (-x).exp()) * up[at];
    }
}

/// `silu(gate) · up`, elementwise.
pub(super) fn swiglu(gate: &CubeTensor, up: &CubeTensor) -> CubeTensor {
    let (count, y) = (gate.shape().num_elements(), empty_like(gate));
    let (cubes, units) = elements(count);
    swiglu_elements::launch(&gate.client, cubes, units, input(gate), input(up), output(&y), count);
    y
}

#[cube(launch)]
fn rotary_pairs(x: &[f32], cos: &[f32], sin: &[f32], y: &mut [f32], pairs: usize, heads: usize, half: usize) {
    let at = ABSOLUTE_POS;
    if at < pairs {
        let (head, pair) = (at / half, at % half);
        let angle = head / heads * half + pair;
        let (first, second) = (head * 2 * half + pair, head * 2 * half + half + pair);
        y[first] = x[first] * cos[angle] - x[second] * sin[angle];
        y[second] = x[second] * cos[angle] + x[first] * sin[angle];
    }
}

/// Rotates the halves of every head: `x [tokens, heads, head_dim]`, `cos`, `sin [tokens, 1, head_dim / 2]`.
pub(super) fn rotary(x: &CubeTensor, cos: &CubeTensor, sin: &CubeTensor) -> CubeTensor {
    let ([tokens, heads, head_dim], y) = (x.shape().dims(), empty_like(x));
    let pairs = tokens * heads * head_dim / 2;
    let (cubes, units) = elements(pairs);
    rotary_pairs::launch(
        &x.client,
        cubes,
        units,
        input(x),
        input(cos),
        input(sin),
        output(&y),
        pairs,
        heads,
        head_dim / 2,
    );
    y
}

/// [`crate::ops::dropout::scrambled`].
#[cube]
fn scrambled(x: u32) -> u32 {
    let x = (x ^ (x >> 16)) * 0x7feb_352du32;
    let x = (x ^ (x >> 15)) * 0x846c_a68bu32;
    x ^ (x >> 16)
}

#[cube(launch)]
fn dropout_pairs(x: &[f32], y: &mut [f32], count: usize, low: u32, high: u32, threshold: u32, keep: f32) {
    let pair = ABSOLUTE_POS;
    if 2 * pair < count {
        let bits = scrambled(scrambled(u32::cast_from(pair) ^ low) ^ high);
        y[2 * pair] = select((bits & 0xffff) >= threshold, x[2 * pair] * keep, 0.0f32);
        if 2 * pair + 1 < count {
            y[2 * pair + 1] = select((bits >> 16) >= threshold, x[2 * pair + 1] * keep, 0.0f32);
        }
    }
}

/// `x ∘ mask`.
pub(super) fn dropout(x: &CubeTensor, mask: Mask) -> CubeTensor {
    let (count, y) = (x.shape().num_elements(), empty_like(x));
    let (cubes, units) = elements(count.div_ceil(2));
    let (threshold, [low, high]) = mask.parts();
    dropout_pairs::launch(
        &x.client,
        cubes,
        units,
        input(x),
        output(&y),
        count,
        low,
        high,
        threshold.into(),
        mask.keep(),
    );
    y
}
