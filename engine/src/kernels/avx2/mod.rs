//! AVX2 with FMA and F16C.

mod dequantize;
mod matmul;
mod panel;
mod quantize;
mod transposed;
mod weights;

pub(super) use dequantize::decode;
pub(super) use panel::product;
pub(super) use quantize::quantize_block;
pub(super) use transposed::matmul_transposed;

use super::Kernel;

/// The product, where the machine has the instructions.
pub(super) fn kernel() -> Option<Kernel> {
    available().then_some(Kernel { run: matmul::run, digits: false })
}

/// Whether the machine has the instructions.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}
