//! The model.

use burn::tensor::{DType, Device, Tensor};

use crate::adapter::AdapterId;
use crate::adapter::lora::LoraConfig;
use crate::adapter::row_adapters::RowAdapters;
use crate::cache::batch::Batch;
use crate::cache::kv_cache::KvCache;
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::EngineError;
use crate::linear::projection::Projection;
use crate::linear::weight::{Weight, WeightSource};
use crate::model::forward_context::ForwardContext;
use crate::model::layer::DecoderLayer;
use crate::model::norm::RmsNorm;
use crate::model::paged_attention::PagedAttention;
use crate::model::rope::Rope;
use crate::ops::gather::{index_tensor, select_rows};
use crate::ops::quantized::Arithmetic;
use crate::quant::Format;
use crate::span::span;

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
        let (embed_tokens, lm_head) = match config.tie_word_embeddings {
            true => {
                let shared = source.matrix("model.embed_tokens.weight", table)?;
                (shared.clone(), shared)
            }
            false => {
                let embed_tokens = source.table("model.embed_tokens.weight", table)?;
                (embed_tokens, source.matrix("lm_head.weight", table)?)
            }
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
    /// A token outside the vocabulary, a position beyond what [`RopeScaling::Dynamic`] covers, a sequence with two parts
    /// in the batch, or a cache without room; the cache is then as it was.
    ///
    /// # Panics
    /// If a sequence of the batch is not open in `cache`, or the batch asks for no output.
    pub fn forward(&self, batch: &Batch, cache: &mut KvCache) -> Result<Tensor<2>, EngineError> {
        span!("step", tokens = batch.tokens.len(), outputs = batch.outputs.len());
        self.check_tokens(&batch.tokens)?;
        self.check_positions(batch.sequences.iter().map(|part| cache.len(part.sequence) + part.len))?;
        let plan = cache.plan(batch)?;
        let rotation = self.rope.at(&plan.positions, &self.device);
        let x = self.embed(&batch.tokens); // [tokens, hidden]
        let adapters = RowAdapters::new(plan.adapters.iter().copied(), &self.device);
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
        embed(&self.embed_tokens, tokens, &self.device)
    }

    pub(crate) fn rope(&self) -> &Rope {
        &self.rope
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), EngineError> {
        check_tokens(tokens, self.config.vocab_size)
    }

    /// Checks that texts of these lengths have positions.
    pub(crate) fn check_positions(&self, lengths: impl Iterator<Item = usize>) -> Result<(), EngineError> {
        let RopeScaling::Dynamic { .. } = self.config.rope_scaling else { return Ok(()) };
        let limit = self.config.max_position_embeddings;
        match lengths.max().filter(|&longest| longest > limit) {
            Some(longest) => Err(EngineError::Position { position: longest - 1, limit }),
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
        match &self.embed_tokens {
            Weight::Quantized(_) if self.config.tie_word_embeddings => {
                self.embed_tokens = self.lm_head.weight().clone(); // one table for both, as before
            }
            Weight::Quantized(table) => self.embed_tokens = Weight::Dense(table.dequantize()),
            Weight::Dense(_) => {}
        }
    }

    pub(super) fn projections_mut(&mut self) -> impl Iterator<Item = (String, &mut Projection)> {
        self.layers.iter_mut().flat_map(|layer| layer.projections_mut())
    }
}

/// Rows of the table `embed_tokens`: `[tokens, hidden]`.
pub(super) fn embed(embed_tokens: &Weight, tokens: &[u32], device: &Device) -> Tensor<2> {
    match embed_tokens {
        Weight::Dense(table) => {
            let rows = table.clone().select(0, index_tensor(tokens.iter().copied(), device));
            if rows.dtype() == DType::F32 { rows } else { rows.cast(DType::F32) }
        }
        Weight::Quantized(table) => table.rows(tokens),
    }
}

pub(super) fn check_tokens(tokens: &[u32], vocab_size: usize) -> Result<(), EngineError> {
    match tokens.iter().find(|token| **token as usize >= vocab_size) {
        Some(token) => Err(EngineError::Token { token: *token, vocab_size }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::TensorMetadata;

    use super::*;
    use crate::cache::batch::Outputs;
    use crate::cache::kv_cache::CacheType;
    use crate::every_backend::{device, on_every_backend};
    use crate::model::laws::{RandomWeights, config, logits, model, tokens};

    on_every_backend!(
        dynamic_frequencies_end_with_the_context;
        only flex:
        a_tied_head_shares_the_table_after_dequantizing, // ndarray does not tell who shares
        a_table_of_16_bits_gives_the_bits_of_32, // and has no 16-bit floats
    );

    fn a_tied_head_shares_the_table_after_dequantizing() {
        let tied = LlamaConfig { tie_word_embeddings: true, ..config() };
        let mut llama = model(tied, Some(Format::Q8_0));
        let before = logits(&llama, &tokens(9, 9));
        llama.dequantize();
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.05;
        assert!(logits(&llama, &tokens(9, 9)).iter().zip(&before).all(near));
        let Llama { embed_tokens: Weight::Dense(table), lm_head, .. } = llama else { panic!("quantized") };
        let table = table.into_dispatch();
        assert!(!table.can_mut(), "the head has a table of its own");
        drop(lm_head);
        assert!(table.can_mut());
    }

    fn dynamic_frequencies_end_with_the_context() {
        let dynamic = LlamaConfig {
            rope_scaling: RopeScaling::Dynamic { factor: 4.0 },
            max_position_embeddings: 12,
            ..config()
        };
        let llama = model(dynamic, None);
        assert_eq!(logits(&llama, &tokens(12, 4)), logits(&model(config(), None), &tokens(12, 4)));
        let mut cache = KvCache::new(llama.config(), 64, CacheType::F32, &device());
        let sequence = cache.open(None);
        let mut batch = Batch::new();
        batch.push(sequence, &tokens(13, 4), Outputs::Last);
        let refused = llama.forward(&batch, &mut cache).unwrap_err();
        assert!(matches!(refused, EngineError::Position { position: 12, limit: 12 }), "{refused}");
        assert_eq!(cache.len(sequence), 0, "the cache is as it was");
    }

    /// Random weights whose embedding table is rounded to bf16, and kept so or not.
    struct Rounded {
        kept: bool,
    }

    impl WeightSource for Rounded {
        type Error = EngineError;

        fn contains(&self, _name: &str) -> bool {
            true
        }

        fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
            RandomWeights::dense().matrix(name, shape)
        }

        fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
            let Weight::Dense(table) = self.matrix(name, shape)? else { panic!("quantized") };
            let rounded = table.cast(DType::BF16);
            Ok(Weight::Dense(if self.kept { rounded } else { rounded.cast(DType::F32) }))
        }

        fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
            RandomWeights::dense().vector(name, len)
        }
    }

    fn a_table_of_16_bits_gives_the_bits_of_32() {
        let load = |kept| Llama::load(config(), &mut Rounded { kept }, &device()).unwrap();
        let (kept, converted) = (load(true), load(false));
        assert_eq!(logits(&kept, &tokens(9, 9)), logits(&converted, &tokens(9, 9)));
        let half = 2 * config().vocab_size * config().hidden_size;
        assert_eq!(converted.footprint().bytes - kept.footprint().bytes, half);
    }
}
