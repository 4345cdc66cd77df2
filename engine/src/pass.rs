//! What one step hands to every layer.

use burn::tensor::Tensor;

use crate::lora::Dropout;
use crate::rope::Rotation;

/// What all layers of one step share.
pub(crate) struct Pass<'a> {
    pub rotation: &'a Rotation,
    pub attend: &'a mut dyn Attend,
    pub dropout: Option<Dropout>,
}

/// How a step's queries meet keys and values: over a paged cache, or causally within each sequence.
pub(crate) trait Attend {
    /// `q [tokens, heads, head_dim]`, `k`, `v [tokens, kv_heads, head_dim]`, rotated, of layer
    /// `layer` → `[tokens, heads, head_dim]`.
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3>;
}
