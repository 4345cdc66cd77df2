//! What one step hands to every layer.

use burn::tensor::Tensor;

use crate::adapter::row_adapters::RowAdapters;
use crate::model::rope::Rotation;

/// What all layers of one step share.
pub(crate) struct ForwardContext<'a> {
    pub rotation: &'a Rotation,
    pub attend: &'a mut dyn Attend,
    /// Of the rows that the layers compute.
    pub adapters: RowAdapters,
}

/// How a step's queries meet keys and values: over a paged cache, or causally within each sequence.
pub(crate) trait Attend {
    /// `q [tokens, heads, head_dim]`, `k`, `v [tokens, kv_heads, head_dim]`, rotated, of layer
    /// `layer` → `[tokens, heads, head_dim]`.
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3>;
}
