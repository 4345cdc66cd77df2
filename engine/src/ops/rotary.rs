//! Rotary position embedding.

use burn::tensor::Tensor;

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
    let [_tokens, _heads, head_dim] = x.dims();
    let first = x.clone().narrow(2, 0, head_dim / 2);
    let second = x.narrow(2, head_dim / 2, head_dim / 2);
    let y1 = first.clone().mul(cos.clone()).sub(second.clone().mul(sin.clone()));
    let y2 = second.mul(cos).add(first.mul(sin));
    Tensor::cat(vec![y1, y2], 2)
}
