//! Products with packed weights by AVX2, and by AVX-512 where the machine has it.

mod dense;
mod dequantize;
mod k_quants;
mod lanes;
mod matmul;
mod packed_tile;
mod panel;
mod row_groups;
mod transposed;
mod vnni;
mod weight_tile;

pub(crate) use dense::{add_segment_avx512, few_rows, transpose};
pub(crate) use dequantize::decode;
pub(crate) use matmul::kernels;
pub(crate) use panel::{product, widen};
pub(crate) use transposed::matmul_transposed;
