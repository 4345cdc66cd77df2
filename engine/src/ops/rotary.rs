//! Rotary position embedding.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;
use crate::span::span;

/// Rotates the pairs of every head by their position's angles.
///
/// `y₁ = x₁ · cos − x₂ · sin`, `y₂ = x₂ · cos + x₁ · sin`
///
/// Where:
/// - `x₁`, `x₂`: the first and second half of a head (Hugging Face's half-split pairing)
///
/// # Shapes
/// - `x`: `[tokens, heads, head_dim]`
/// - `cos`, `sin`: `[tokens, 1, head_dim / 2]`
/// - returns `[tokens, heads, head_dim]`
///
/// Source: Su et al. 2021, arXiv:2104.09864, eq. 34.
pub(crate) fn rotary(x: Tensor<3>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<3> {
    span!("rotary");
    let ([tokens, _heads, head_dim], angles) = (x.dims(), [cos.dims(), sin.dims()]);
    assert_eq!(angles, [[tokens, 1, head_dim / 2]; 2], "angles of other tokens or heads");
    let (x, cos, sin) = (x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch());
    Tensor::from_dispatch(Dispatch::rotary(x, cos, sin))
}
