//! A model of SmolLM2-135M's shape in Q4_0, made up: nothing is downloaded.

use burn::tensor::{Device, Distribution, Tensor};
use engine::quant::Format;
use engine::{
    AttentionBias, EngineError, Llama, LlamaConfig, QuantizedMatrix, RopeScaling, Weight, WeightSource,
};

/// The model with so many of its 30 layers.
pub fn smollm2(layers: usize, device: &Device) -> Llama {
    let config = LlamaConfig { num_hidden_layers: layers, ..config() };
    Llama::load(config, &mut Random { device: device.clone(), format: Some(Format::Q4_0) }, device)
        .expect("a whole model")
}

/// `count` tokens from all over its vocabulary.
pub fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i * 7919 % config().vocab_size as u32).collect()
}

/// The numbers of a tensor, which waits until its device has computed them.
pub fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 values")
}

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 49152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: RopeScaling::None,
        sliding_window: None,
        attention_bias: AttentionBias::None,
        mlp_bias: false,
        tie_word_embeddings: true,
    }
}

/// Weights as a model starts its training with.
#[derive(Debug)]
pub struct Random {
    device: Device,
    format: Option<Format>,
}

impl Random {
    /// In 32 bits.
    #[allow(dead_code)] // not every benchmark
    pub fn dense(device: &Device) -> Self {
        Self { device: device.clone(), format: None }
    }
}

impl WeightSource for Random {
    type Error = EngineError;

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn matrix(&mut self, _name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
        let random = Tensor::random(shape, Distribution::Normal(0.0, 0.02), &self.device);
        Ok(match self.format {
            None => Weight::Dense(random),
            Some(format) => {
                Weight::Quantized(QuantizedMatrix::quantize(format, shape, &values(random), &self.device)?)
            }
        })
    }

    fn vector(&mut self, _name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        Ok(Tensor::ones([len], &self.device))
    }
}
