//! The model.

use burn::tensor::{Device, Tensor};

use crate::adapter::AdapterId;
use crate::adapter::row_adapters::RowAdapters;
use crate::model::forward_context::ForwardContext;
use crate::model::layer::DecoderLayer;
use crate::model::norm::RmsNorm;
use crate::model::paged_attention::PagedAttention;
use crate::model::rope::Rope;
use crate::ops::gather::{index_tensor, select_rows};
use crate::ops::quantized::Arithmetic;
use crate::quant::Format;
use crate::{Batch, EngineError, KvCache, LlamaConfig, LoraConfig, Projection, Weight, WeightSource};

/// A Llama-architecture model. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Llama {
    config: LlamaConfig,
    device: Device,
    rope: Rope,
    pub(crate) embed_tokens: Weight, // [vocab, hidden]
    pub(crate) layers: Vec<DecoderLayer>,
    pub(crate) norm: RmsNorm,
    pub(crate) lm_head: Projection,
    /// Loaded adapters, in the order in which they came.
    pub(super) adapters: Vec<(AdapterId, LoraConfig)>,
    pub(super) next_adapter: u64,
}

impl Llama {
    /// Builds the model from a checkpoint.
    ///
    /// # Errors
    /// If the configuration describes no model, or a tensor is missing or has another shape.
    pub fn load<S: WeightSource>(
        config: LlamaConfig,
        source: &mut S,
        device: &Device,
    ) -> Result<Self, S::Error> {
        config.validate()?;
        let table = [config.vocab_size, config.hidden_size];
        let embed_tokens = source.matrix("model.embed_tokens.weight", table)?;
        let lm_head = match config.tie_word_embeddings {
            true => embed_tokens.clone(),
            false => source.matrix("lm_head.weight", table)?,
        };
        let layers = (0..config.num_hidden_layers).map(|index| DecoderLayer::load(&config, index, source));
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            norm: RmsNorm {
                weight: source.vector("model.norm.weight", config.hidden_size)?,
                eps: config.rms_norm_eps,
            },
            rope: Rope::new(&config),
            device: device.clone(),
            embed_tokens,
            lm_head: Projection::new(lm_head),
            adapters: Vec::new(),
            next_adapter: 0,
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The device its weights live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// One step: writes the batch's keys and values to the cache and returns the logits
    /// `[outputs, vocab_size]` of the tokens that asked for them, in the batch's order.
    ///
    /// # Errors
    /// A token outside the vocabulary, or a cache without room; the cache is then as it was.
    ///
    /// # Panics
    /// If a sequence of the batch is not open in `cache`, or the batch asks for no output.
    pub fn forward(&self, batch: &Batch, cache: &mut KvCache) -> Result<Tensor<2>, EngineError> {
        self.check_tokens(&batch.tokens)?;
        let plan = cache.plan(batch)?;
        let rotation = self.rope.at(&plan.positions, &self.device);
        let x = self.embed(&batch.tokens); // [tokens, hidden]
        let adapters = RowAdapters::new(plan.adapters.iter().copied());
        let mut attend = PagedAttention { cache, plan: &plan };
        let mut context = ForwardContext { rotation: &rotation, attend: &mut attend, adapters };
        let x = self.norm.forward(self.decode(x, &mut context, &batch.outputs)); // [outputs, hidden]
        cache.commit(batch);
        Ok(self.lm_head.forward(x)) // [outputs, vocab]
    }

    /// Runs all layers; in the last one only `rows` go past attention, since nobody looks at the others after:
    /// `x [tokens, hidden]` → `[rows, hidden]`.
    pub(crate) fn decode(&self, mut x: Tensor<2>, context: &mut ForwardContext, rows: &[usize]) -> Tensor<2> {
        let Some((last, layers)) = self.layers.split_last() else { return select_rows(x, rows) };
        for layer in layers {
            x = layer.forward(x, context); // [tokens, hidden]
        }
        last.forward_rows(x, context, rows)
    }

    /// The rows of the embedding table: `[tokens, hidden]`.
    pub(crate) fn embed(&self, tokens: &[u32]) -> Tensor<2> {
        match &self.embed_tokens {
            Weight::Dense(table) => {
                table.clone().select(0, index_tensor(tokens.iter().copied(), &self.device))
            }
            Weight::Quantized(table) => table.rows(tokens),
        }
    }

    pub(crate) fn rope(&self) -> &Rope {
        &self.rope
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), EngineError> {
        let vocab_size = self.config.vocab_size;
        match tokens.iter().find(|token| **token as usize >= vocab_size) {
            Some(token) => Err(EngineError::Token { token: *token, vocab_size }),
            None => Ok(()),
        }
    }

    /// How quantized weights multiply; see [`Arithmetic`].
    pub fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        for layer in &mut self.layers {
            layer
                .projections_mut()
                .into_iter()
                .for_each(|(_, projection)| projection.set_arithmetic(arithmetic));
        }
        self.lm_head.set_arithmetic(arithmetic);
    }

    /// Quantizes the decoder layers' dense projections; embeddings, norms and head stay.
    ///
    /// # Errors
    /// If a projection's rows are not whole blocks of the format.
    pub fn quantize_base(&mut self, format: Format) -> Result<(), EngineError> {
        self.projections_mut().try_for_each(|(_, projection)| projection.quantize(format))
    }

    /// Replaces every quantized projection by the f32 matrix it stands for.
    pub fn dequantize(&mut self) {
        self.projections_mut().for_each(|(_, projection)| projection.dequantize());
        self.lm_head.dequantize();
        if let Weight::Quantized(table) = &self.embed_tokens {
            self.embed_tokens = Weight::Dense(table.dequantize());
        }
    }

    pub(super) fn projections_mut(&mut self) -> impl Iterator<Item = (String, &mut Projection)> {
        self.layers.iter_mut().flat_map(|layer| layer.projections_mut())
    }
}
