//! The gate of the MLP.

use burn::tensor::{Tensor, activation::silu};

/// `silu(gate) · up`, elementwise.
///
/// # Shapes
/// - `gate`, `up`: `[tokens, intermediate]`
/// - returns `[tokens, intermediate]`
///
/// Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
pub(crate) fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate).mul(up)
}
