//! The inputs of a step that every layer reads besides its activations.

use burn::tensor::Tensor;

use crate::adapter::row_adapters::RowAdapters;
use crate::model::rope::Rotation;

/// The rotation, the attention and the adapters of one step.
pub(crate) struct ForwardContext<'a> {
    pub rotation: &'a Rotation,
    pub attend: &'a mut dyn Attend,
    /// Of the rows that the layers compute.
    pub adapters: RowAdapters,
}

/// The attention of a step: over the paged cache when generating, causal within each sequence when training.
pub(crate) trait Attend {
    /// `q [tokens, heads, head_dim]`, `k`, `v [tokens, kv_heads, head_dim]`, rotated, of layer
    /// `layer` → `[tokens, heads, head_dim]`.
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3>;
}
