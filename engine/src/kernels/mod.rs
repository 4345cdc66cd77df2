//! CPU kernels. The only place with `unsafe`; the scalar kernels are the oracle of the others.

// A kernel's loops count registers and places; iterators over several arrays at once would hide which.
#![allow(clippy::needless_range_loop)]

mod activations;
mod ahead;
pub(crate) mod attention;
mod bytes;
mod cached;
pub(crate) mod causal;
mod detached;
pub(crate) mod exact;
pub(crate) mod flex;
pub(crate) mod heap;
mod panel;
mod place;
mod planes;
pub(crate) mod pool;
mod product;
mod rows;
mod scalar;
pub(crate) mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

use activations::Activations;
use place::Place;
use planes::Planes;

use std::ops::Range;

#[cfg(test)]
use crate::quant::Layout;
use crate::quant::{Format, TILE};

/// A product with quantized weights: writes some tiles' outputs for every row of activations to
/// `y [tokens][rows]`.
type Kernel = fn(&Planes, &[u32], Range<usize>, &Activations, &Place<f32>);

/// The kernels that the machine has the instructions for, the best first.
fn kernels() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let own = x86::kernels();
    #[cfg(not(target_arch = "x86_64"))]
    let own = std::iter::empty();
    own.chain([scalar::run as Kernel])
}

fn kernel() -> Kernel {
    kernels().next().expect("the portable one")
}

/// The columns of `blocks` (of 32) of one tile in f32: `out [columns][rows of the tile]`, the rows that pad
/// the matrix as zeros.
fn decode(planes: &Planes, words: &[u32], tile: usize, blocks: Range<usize>, out: &mut [[f32; TILE]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::has_avx2() {
        return x86::decode(planes, words, tile, blocks, out);
    }
    scalar::decode(planes, words, tile, blocks, out);
}

/// Where a line is asked for.
#[derive(Debug, Clone, Copy)]
enum Cache {
    /// What is used next; the first cache has few places for lines on their way.
    First,
    /// What is used later.
    Second,
}

/// Asks for the cache line of `address`, which need not exist.
#[inline(always)]
fn prefetch(cache: Cache, address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let line = std::ptr::without_provenance(address);
        match cache {
            Cache::First => _mm_prefetch::<_MM_HINT_T0>(line),
            Cache::Second => _mm_prefetch::<_MM_HINT_T1>(line),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cache, address);
}

/// Whether `format` multiplies with integer activations. NF4's codes are not evenly spaced, so integer
/// dot products do not apply to it.
pub(crate) fn has_integer(format: Format) -> bool {
    format != Format::NF4
}

/// Every kernel of the machine on plain slices, the portable one last: `x [tokens, cols]` → `[tokens, rows]`.
#[cfg(test)]
pub(crate) fn integer_by_all(x: &[f32], words: &[u32], layout: Layout) -> Vec<Vec<f32>> {
    let x = Activations::quantize(x, layout.cols, layout.format);
    let by = |kernel: Kernel| {
        let mut y = vec![f32::NAN; x.tokens * layout.rows];
        let place = Place::over(&mut y);
        kernel(&Planes::of(layout), words, 0..layout.tiles(), &x, &place);
        y
    };
    kernels().map(by).collect()
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
        decode(&Planes::of(layout), words, tile, blocks.clone(), &mut out);
        out
    })
}
