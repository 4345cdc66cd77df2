//! The kernels of x86: AVX2, and AVX-512 where the machine has it.

mod by_rows;
mod dequantize;
mod digits;
mod k_quants;
mod lanes;
mod matmul;
mod panel;
mod patch;
mod quantize;
mod transposed;
mod weights;

pub(super) use dequantize::decode;
pub(super) use lanes::has_avx2;
pub(super) use matmul::kernels;
pub(super) use panel::{product, widen};
pub(super) use quantize::quantize_block;
pub(super) use transposed::matmul_transposed;
