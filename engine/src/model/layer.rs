//! One decoder layer.

use burn::tensor::Tensor;

use crate::config::LlamaConfig;
use crate::linear::projection::Projection;
use crate::linear::weight::WeightSource;
use crate::model::attention::Attention;
use crate::model::forward_context::ForwardContext;
use crate::model::mlp::Mlp;
use crate::model::norm::RmsNorm;
use crate::ops::gather::select_rows;
use crate::span::span;

/// Attention and MLP, each behind a norm and added to the residual stream.
#[derive(Debug, Clone)]
pub(crate) struct DecoderLayer {
    index: usize,
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl DecoderLayer {
    pub fn load<S: WeightSource>(
        config: &LlamaConfig,
        index: usize,
        source: &mut S,
    ) -> Result<Self, S::Error> {
        let prefix = format!("model.layers.{index}");
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let mut norm = |name: &str| {
            source.vector(&format!("{prefix}.{name}.weight"), hidden).map(|weight| RmsNorm { weight, eps })
        };
        Ok(Self {
            index,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            self_attn: Attention::load(config, &prefix, source)?,
            mlp: Mlp::load(config, &prefix, source)?,
        })
    }

    pub fn forward(&self, x: Tensor<2>, context: &mut ForwardContext) -> Tensor<2> {
        span!("layer", index = self.index);
        let gathered = self.self_attn.gather(self.index, self.input_layernorm.forward(x.clone()), context);
        self.after_gathering(x, gathered, context)
    }

    /// As [`DecoderLayer::forward`], for some of the tokens: `x [tokens, hidden]` → `[rows, hidden]`.
    pub fn forward_rows(&self, x: Tensor<2>, context: &mut ForwardContext, rows: &[usize]) -> Tensor<2> {
        span!("layer", index = self.index);
        let gathered = self.self_attn.gather(self.index, self.input_layernorm.forward(x.clone()), context);
        context.adapters = context.adapters.select(rows);
        self.after_gathering(select_rows(x, rows), select_rows(gathered, rows), context)
    }

    fn after_gathering(&self, x: Tensor<2>, gathered: Tensor<2>, context: &ForwardContext) -> Tensor<2> {
        let x = x.add(self.self_attn.project(gathered, context)); // [tokens, hidden]
        let expanded = self.mlp.forward(self.post_attention_layernorm.forward(x.clone()), context);
        x.add(expanded) // [tokens, hidden]
    }

    /// The layer's projections by name, in the order of Hugging Face's modules.
    pub fn projections_mut(&mut self) -> [(String, &mut Projection); 7] {
        let name = |part: &str| format!("model.layers.{}.{part}", self.index);
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        [
            (name("self_attn.q_proj"), &mut attention.q_proj),
            (name("self_attn.k_proj"), &mut attention.k_proj),
            (name("self_attn.v_proj"), &mut attention.v_proj),
            (name("self_attn.o_proj"), &mut attention.o_proj),
            (name("mlp.gate_proj"), &mut mlp.gate_proj),
            (name("mlp.up_proj"), &mut mlp.up_proj),
            (name("mlp.down_proj"), &mut mlp.down_proj),
        ]
    }
}
