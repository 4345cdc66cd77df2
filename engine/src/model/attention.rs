//! Grouped-query self-attention.

use burn::tensor::Tensor;

use crate::config::LlamaConfig;
use crate::linear::projection::Projection;
use crate::linear::weight::WeightSource;
use crate::model::forward_context::ForwardContext;

/// The attention block of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub q_proj: Projection,
    pub k_proj: Projection,
    pub v_proj: Projection,
    pub o_proj: Projection,
    head_dim: usize,
}

impl Attention {
    pub fn load<S: WeightSource>(
        config: &LlamaConfig,
        prefix: &str,
        source: &mut S,
    ) -> Result<Self, S::Error> {
        let hidden = config.hidden_size;
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let mut projection = |name: &str, shape| {
            Projection::load(source, &format!("{prefix}.self_attn.{name}"), shape, config.has_bias(name))
        };
        Ok(Self {
            q_proj: projection("q_proj", [queries, hidden])?,
            k_proj: projection("k_proj", [keys, hidden])?,
            v_proj: projection("v_proj", [keys, hidden])?,
            o_proj: projection("o_proj", [hidden, queries])?,
            head_dim: config.head_dim,
        })
    }

    /// Attention before its output projection: `x [tokens, hidden]` → `[tokens, heads * head_dim]`.
    pub fn gather(&self, layer: usize, x: Tensor<2>, context: &mut ForwardContext) -> Tensor<2> {
        let [tokens, _hidden] = x.dims();
        let qkv = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [q, k, v] = Projection::forward_each(qkv, x, &context.adapters); // [tokens, heads * head_dim] each

        let heads = |x: Tensor<2>| {
            let [_, width] = x.dims();
            x.reshape([tokens, width / self.head_dim, self.head_dim])
        };
        let q = context.rotation.apply(heads(q)); // [tokens, heads, head_dim]
        let k = context.rotation.apply(heads(k)); // [tokens, kv_heads, head_dim]
        let y = context.attend.attend(layer, q, k, heads(v)); // [tokens, heads, head_dim]

        let [_, heads, head_dim] = y.dims();
        y.reshape([tokens, heads * head_dim])
    }

    /// The output projection: `[tokens, heads * head_dim]` → `[tokens, hidden]`.
    pub fn project(&self, gathered: Tensor<2>, context: &ForwardContext) -> Tensor<2> {
        self.o_proj.forward_with(gathered, &context.adapters)
    }
}
