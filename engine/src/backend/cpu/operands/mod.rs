//! What a product with packed weights takes: rounded activations, and where the weights' parts lie.

use std::ops::Range;

use super::memory::shared_slice::SharedSlice;

pub(crate) mod activations_q16;
pub(crate) mod activations_q8;
pub(crate) mod packed_offsets;
#[cfg(target_arch = "x86_64")]
mod quantize_avx2;

use activations_q16::Activations;
use packed_offsets::PackedOffsets;

/// A product with quantized weights: writes some tiles' outputs for every row of activations to
/// `y [tokens][rows]`.
pub(crate) type Kernel = fn(&PackedOffsets, &[u32], Range<usize>, &Activations, &SharedSlice<f32>);
