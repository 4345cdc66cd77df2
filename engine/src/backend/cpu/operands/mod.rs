//! What a product with packed weights takes: rounded activations, and where the weights' parts lie.

use std::ops::Range;

use super::memory::shared_slice::SharedSlice;

pub(crate) mod activations_q16;
pub(crate) mod activations_q8;
pub(crate) mod packed_offsets;
#[cfg(target_arch = "x86_64")]
mod quantize_avx2;

use activations_q16::{Activations, BLOCK_COLUMNS, SUPER_BLOCKS};
use packed_offsets::PackedOffsets;

/// A product with quantized weights: writes some tiles' outputs for every row of activations to
/// `y [tokens][rows]`.
///
/// # Safety
/// While it runs, nobody else reads or writes the outputs of these tiles in `y`.
///
/// # Panics
/// If the words, the activations or `y` are not as many as the layout says, or there are not so many tiles.
pub(crate) type Kernel = unsafe fn(&PackedOffsets, &[u32], Range<usize>, &Activations, &SharedSlice<f32>);

/// What a [`Kernel`] relies on besides its caller: the sizes of all that it reads and writes.
pub(crate) fn assert_sizes(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: &Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    let layout = offsets.layout();
    assert!(words.len() >= offsets.words() && tiles.end <= offsets.tiles());
    assert!(y.len() >= x.tokens * layout.rows());
    let blocks = x.tokens * (layout.cols() / BLOCK_COLUMNS);
    if layout.format().has_super_blocks() {
        let x = &x.q8;
        assert!(x.codes.len() == blocks && x.scales.len() == blocks && x.starts.len() == blocks);
        return assert!(x.totals.len() * SUPER_BLOCKS == blocks && x.total_scales.len() == x.totals.len());
    }
    assert!(
        x.codes.len() == blocks * BLOCK_COLUMNS && x.totals.len() == blocks && x.scales.len() == x.tokens
    );
}
