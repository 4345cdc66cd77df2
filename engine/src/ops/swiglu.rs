//! The gate of the MLP.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;
use crate::span::span;

/// `silu(gate) · up`, elementwise.
///
/// # Shapes
/// - `gate`, `up`: `[tokens, intermediate]`
/// - returns `[tokens, intermediate]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    span!("swiglu");
    assert_eq!(gate.dims(), up.dims(), "gate and up differ in shape");
    Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()))
}
