//! The model.

use burn::tensor::{Device, Tensor};

use crate::{Batch, EngineError, KvCache, LlamaConfig, LoraConfig, WeightSource};

/// A Llama-architecture model.
#[derive(Debug, Clone)]
pub struct Llama {}

/// One adapter pair by module name.
#[derive(Debug, Clone)]
pub struct LoraWeights {
    /// The projection's name, `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// `A [r, in]`.
    pub a: Tensor<2>,
    /// `B [out, r]`.
    pub b: Tensor<2>,
}

impl Llama {
    /// Builds the model from a checkpoint.
    pub fn load<S: WeightSource>(
        _config: LlamaConfig,
        _source: &mut S,
        _device: &Device,
    ) -> Result<Self, S::Error> {
        unimplemented!()
    }

    /// The configuration.
    pub fn config(&self) -> &LlamaConfig {
        unimplemented!()
    }

    /// The device its weights live on.
    pub fn device(&self) -> &Device {
        unimplemented!()
    }

    /// One step: writes the batch's keys and values to the cache and returns the logits
    /// `[outputs, vocab_size]` of the tokens that asked for them, in the batch's order.
    pub fn forward(&self, _batch: &Batch, _cache: &mut KvCache) -> Result<Tensor<2>, EngineError> {
        unimplemented!()
    }

    /// Puts an adapter on the projections it names; replaces one that is there.
    pub fn attach_lora(
        &mut self,
        _config: &LoraConfig,
        _weights: Vec<LoraWeights>,
    ) -> Result<(), EngineError> {
        unimplemented!()
    }

    /// The adapter that is attached, in the model's order of modules.
    pub fn lora(&self) -> Option<(&LoraConfig, Vec<LoraWeights>)> {
        unimplemented!()
    }
}
