//! Attention of a step over the paged cache.

use burn::tensor::Tensor;

use super::forward_context::Attend;
use crate::cache::kv_cache::{KvCache, Plan};
use crate::ops::paged;

/// Writes a step's keys and values to the cache and attends to what each token sees of it.
pub(crate) struct PagedAttention<'a> {
    pub cache: &'a mut KvCache,
    pub plan: &'a Plan,
}

impl Attend for PagedAttention<'_> {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let pages = &self.plan.pages;
        let written = self.cache.write_layer(layer, |memory| paged::write(memory, k, v, pages));
        paged::attention(q, written, pages) // [tokens, heads, head_dim]
    }
}
