//! Which kernel the machine runs.

use std::ops::Range;

use super::scalar;
#[cfg(test)]
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::Kernel;
#[cfg(test)]
use crate::backend::cpu::operands::activations_q16::{Activations, BLOCK_COLUMNS};
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::{instructions::has_avx2, x86};
#[cfg(test)]
use crate::quant::Layout;
use crate::quant::formats::ScaleKind;
use crate::quant::{Format, TILE};

/// The kernels that the machine has the instructions for, the best first.
fn kernels() -> impl Iterator<Item = Kernel> {
    #[cfg(target_arch = "x86_64")]
    let own = x86::kernels();
    #[cfg(not(target_arch = "x86_64"))]
    let own = std::iter::empty();
    own.chain([scalar::run as Kernel])
}

pub(crate) fn kernel() -> Kernel {
    kernels().next().expect("the portable one")
}

/// The columns of `blocks` (of 32) of one tile in f32: `out [columns][rows of the tile]`, the rows that pad
/// the matrix as zeros.
pub(crate) fn decode(
    offsets: &PackedOffsets,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return x86::decode(offsets, words, tile, blocks, out);
    }
    scalar::decode(offsets, words, tile, blocks, out);
}

/// Whether `format` multiplies with integer activations. NF4's codes are not evenly spaced, so integer
/// dot products do not apply to it.
pub(crate) fn has_integer(format: Format) -> bool {
    format.scale_kind() != ScaleKind::Nested
}

/// Every kernel of the machine on plain slices, the portable one last: `x [tokens, cols]` → `[tokens, rows]`.
#[cfg(test)]
pub(crate) fn integer_by_all(x: &[f32], words: &[u32], layout: Layout) -> Vec<Vec<f32>> {
    let x = Activations::quantize(x, layout.cols(), layout.format());
    let by = |kernel: Kernel| {
        let mut y = vec![f32::NAN; x.tokens * layout.rows()];
        let place = SharedSlice::over(&mut y);
        // SAFETY: this thread's memory.
        unsafe { kernel(&PackedOffsets::of(layout), words, 0..layout.tiles(), &x, &place) };
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
        let mut out = vec![[f32::NAN; TILE]; blocks.len() * BLOCK_COLUMNS];
        decode(&PackedOffsets::of(layout), words, tile, blocks.clone(), &mut out);
        out
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn every_kernel_refuses_memory_that_is_too_short() {
        let layout = Layout::new(Format::Q4_0, [16, 64]).unwrap();
        let offsets = PackedOffsets::of(layout);
        let other = Activations::quantize(&[1.0; 32], 32, Format::Q4_0);
        let own = Activations::quantize(&[1.0; 64], 64, Format::Q4_0);
        let refuses = |kernel: Kernel, words: usize, x: &Activations, outputs: usize, tiles: Range<usize>| {
            let (words, mut y) = (vec![0; words], vec![0.0; outputs]);
            let place = SharedSlice::over(&mut y);
            // SAFETY: this thread's memory.
            catch_unwind(AssertUnwindSafe(|| unsafe { kernel(&offsets, &words, tiles, x, &place) })).is_err()
        };
        for kernel in kernels() {
            let words = layout.words();
            assert!(!refuses(kernel, words, &own, 16, 0..1));
            assert!(refuses(kernel, words - 1, &own, 16, 0..1), "too few words");
            assert!(refuses(kernel, words, &other, 16, 0..1), "activations of 32 columns");
            assert!(refuses(kernel, words, &own, 15, 0..1), "too few outputs");
            assert!(refuses(kernel, words, &own, 16, 0..2), "a tile that there is not");
        }
    }
}
