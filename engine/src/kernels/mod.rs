//! CPU kernels. The only place with `unsafe`; the scalar kernels are the oracle of the others.

// A kernel's loops count registers and places; iterators over several arrays at once would hide which.
#![allow(clippy::needless_range_loop)]

mod activations;
pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod causal;
mod detached;
pub(crate) mod exact;
pub(crate) mod flex;
mod panel;
mod place;
pub(crate) mod pool;
mod rows;
mod scalar;

use activations::Activations;
use place::Place;

use std::ops::Range;

use crate::quant::{Format, Layout, TILE};

/// A product with quantized weights, chosen for the machine.
#[derive(Clone, Copy)]
struct Kernel {
    /// Writes one tile's outputs for every row of activations to `y [tokens][rows]`.
    run: fn(Layout, &[u32], usize, &Activations, &Place<f32>),
    /// Whether it reads the activations' digits.
    digits: bool,
}

fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = avx512::kernel().or_else(avx2::kernel) {
        return kernel;
    }
    Kernel { run: scalar::run, digits: false }
}

/// The columns of `blocks` (of 32) of one tile in f32: `out [columns][rows of the tile]`, the rows that pad
/// the matrix as zeros.
fn decode(layout: Layout, words: &[u32], tile: usize, blocks: Range<usize>, out: &mut [[f32; TILE]]) {
    #[cfg(target_arch = "x86_64")]
    if avx2::available() {
        return avx2::decode(layout, words, tile, blocks, out);
    }
    scalar::decode(layout, words, tile, blocks, out);
}

/// Whether `format` multiplies with integer activations. NF4's codes are not evenly spaced, so integer
/// dot products do not apply to it.
pub(crate) fn has_integer(format: Format) -> bool {
    format != Format::NF4
}

/// The scalar kernel on plain slices: `x [tokens, cols]` → `[tokens, rows]`.
#[cfg(test)]
pub(crate) fn scalar_integer(x: &[f32], words: &[u32], layout: Layout) -> Vec<f32> {
    let x = Activations::quantize(x, layout.cols, false);
    let mut y = vec![0.0; x.tokens * layout.rows];
    let place = Place::over(&mut y);
    (0..layout.tiles()).for_each(|tile| scalar::run(layout, words, tile, &x, &place));
    y
}

/// The columns of `blocks` of one tile as the machine decodes them, and as any machine can.
#[cfg(test)]
pub(crate) fn decoded_twice(
    words: &[u32],
    layout: Layout,
    tile: usize,
    blocks: Range<usize>,
) -> [Vec<[f32; TILE]>; 2] {
    [decode, scalar::decode].map(|decode| {
        let mut out = vec![[f32::NAN; TILE]; blocks.len() * activations::BLOCK];
        decode(layout, words, tile, blocks.clone(), &mut out);
        out
    })
}
