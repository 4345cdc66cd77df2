//! Root-mean-square normalization.

use burn::tensor::Tensor;

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
pub(crate) fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1); // [tokens, 1]
    let inverse = mean_square.add_scalar(eps).sqrt().recip();
    x.mul(inverse).mul(weight.unsqueeze())
}
