//! Root-mean-square normalization.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;
use crate::span::span;

/// Root-mean-square normalization over the last axis.
///
/// `y = x / sqrt(mean(x²) + eps) · weight`
///
/// Where:
/// - `x`: activations
/// - `weight`: learned scale, one per channel
///
/// # Shapes
/// - `x`: `[tokens, hidden]`
/// - `weight`: `[hidden]`
/// - returns `[tokens, hidden]`
///
/// # Panics
/// If the last axis of `x` is not `weight`'s length.
///
/// Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    span!("rms_norm");
    let ([_tokens, hidden], [len]) = (x.dims(), weight.dims());
    assert_eq!(hidden, len, "x has {hidden} channels, the weight {len}");
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}
