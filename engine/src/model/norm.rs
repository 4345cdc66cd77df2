//! RMSNorm with its learned scale.

use burn::tensor::Tensor;

use crate::ops;

/// A normalization layer.
#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    pub weight: Tensor<1>, // [hidden]
    pub eps: f32,
}

impl RmsNorm {
    /// `x [tokens, hidden]` → `[tokens, hidden]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::rms_norm::rms_norm(x, self.weight.clone(), self.eps)
    }
}
