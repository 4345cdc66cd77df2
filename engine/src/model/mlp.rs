//! The gated MLP.

use burn::tensor::Tensor;

use crate::config::LlamaConfig;
use crate::linear::projection::Projection;
use crate::linear::weight::WeightSource;
use crate::model::forward_context::ForwardContext;
use crate::ops::swiglu::swiglu;

/// The MLP block of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    pub gate_proj: Projection,
    pub up_proj: Projection,
    pub down_proj: Projection,
}

impl Mlp {
    pub fn load<S: WeightSource>(
        config: &LlamaConfig,
        prefix: &str,
        source: &mut S,
    ) -> Result<Self, S::Error> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let mut projection = |name: &str, shape| {
            Projection::load(source, &format!("{prefix}.mlp.{name}"), shape, config.has_bias(name))
        };
        Ok(Self {
            gate_proj: projection("gate_proj", [intermediate, hidden])?,
            up_proj: projection("up_proj", [intermediate, hidden])?,
            down_proj: projection("down_proj", [hidden, intermediate])?,
        })
    }

    pub fn forward(&self, x: Tensor<2>, context: &ForwardContext) -> Tensor<2> {
        let [gate, up] = Projection::forward_each([&self.gate_proj, &self.up_proj], x, &context.adapters);
        // [tokens, intermediate] both
        self.down_proj.forward_with(swiglu(gate, up), &context.adapters) // [tokens, hidden]
    }
}
