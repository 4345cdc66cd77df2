//! Weight-decomposed low-rank adaptation: `B·A` learns a direction, and a magnitude by row is learned
//! beside it.
//!
//! `y = m / ‖W + scale·B·A‖ · (W x + scale·B(A(x)))`
//!
//! Where:
//! - `‖·‖`: the norm of each row, one for an output; a constant of the graph, as in section 4.3
//! - `m`: the magnitudes, which start as `‖W‖`, so that the adapter starts as nothing
//!
//! Source: Liu et al. 2024, arXiv:2402.09353; as PEFT's `use_dora`.

use burn::tensor::Tensor;

/// The magnitudes of one projection.
#[derive(Debug, Clone)]
pub(crate) struct Dora {
    pub magnitude: Tensor<2>, // [1, out]
    norm: Tensor<2>,          // [1, out]
}

impl Dora {
    /// `magnitude [1, out]` over the rows of `directed [out, in]`, which is `W + scale·B·A`.
    pub fn new(magnitude: Tensor<2>, directed: Tensor<2>) -> Self {
        Self { magnitude, norm: row_norms(directed) }
    }

    /// The factor of each output, magnitude over norm: `[1, out]`.
    pub fn factor(&self) -> Tensor<2> {
        self.magnitude.clone().div(self.norm.clone())
    }

    /// `directed [out, in]` with its rows as long as the magnitudes say, without a gradient by it.
    pub fn scaled(&self, directed: Tensor<2>) -> Tensor<2> {
        directed.mul(self.factor().transpose())
    }
}

/// The norm of each row: `[out, in]` → `[1, out]`.
pub(crate) fn row_norms(weight: Tensor<2>) -> Tensor<2> {
    // A row of zeros stays one: 0 / 0 is nothing to multiply by.
    weight.square().sum_dim(1).sqrt().clamp_min(f32::MIN_POSITIVE).transpose()
}
