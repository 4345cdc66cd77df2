//! The model.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};

use crate::cache::PagedAttention;
use crate::dora::row_norms;
use crate::example::{CausalAttention, Packed};
use crate::layer::DecoderLayer;
use crate::lora::Lora;
use crate::loss::{Nll, cross_entropy};
use crate::norm::RmsNorm;
use crate::ops::quantized::Arithmetic;
use crate::pass::Pass;
use crate::quant::Format;
use crate::rope::Rope;
use crate::rows::{index_tensor, select_rows};
use crate::{
    Batch, EngineError, Example, KvCache, LlamaConfig, LoraConfig, LoraWeights, Projection, Weight,
    WeightSource,
};

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
    lora: Option<LoraConfig>,
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
            lora: None,
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
        let mut attend = PagedAttention { cache, plan: &plan };
        let mut pass = Pass { rotation: &rotation, attend: &mut attend, dropout: None };
        let x = self.norm.forward(self.decode(x, &mut pass, &batch.outputs)); // [outputs, hidden]
        Ok(self.lm_head.forward(x)) // [outputs, vocab]
    }

    /// `x [tokens, hidden]` through all layers: what becomes of `rows`, `[rows, hidden]`. The others end where
    /// the last layer has gathered from them, since nobody looks at them after.
    fn decode(&self, mut x: Tensor<2>, pass: &mut Pass, rows: &[usize]) -> Tensor<2> {
        let Some((last, layers)) = self.layers.split_last() else { return select_rows(x, rows) };
        for layer in layers {
            x = layer.forward(x, pass); // [tokens, hidden]
        }
        last.forward_rows(x, pass, rows)
    }

    /// The summed negative log-likelihood of the learned tokens, as it is without dropout.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn nll(&self, examples: &[Example]) -> Result<Nll, EngineError> {
        let packed = Packed::new(examples);
        self.check_tokens(&packed.tokens)?;
        if packed.targets.is_empty() {
            return Ok(Nll::default());
        }
        let rotation = self.rope.at(&packed.positions, &self.device);
        let mut attend = CausalAttention::new(&packed.spans, self.config.sliding_window);
        let mut pass = Pass { rotation: &rotation, attend: &mut attend, dropout: None };
        let x = self.embed(&packed.tokens); // [tokens, hidden]
        let h = self.norm.forward(self.decode(x, &mut pass, &packed.predictors)); // [targets, hidden]
        Ok(cross_entropy(h, &packed.targets, &self.lm_head, false).0)
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

    fn projections_mut(&mut self) -> impl Iterator<Item = (String, &mut Projection)> {
        self.layers.iter_mut().flat_map(|layer| layer.projections_mut())
    }

    /// Puts a fresh adapter on the projections that `config` names: `A` random by `seed`, `B` zero.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if the configuration names no projection of this model.
    pub fn init_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<(), EngineError> {
        config.validate()?;
        let device = self.device.clone();
        let (mut weights, mut names) = (Vec::new(), BTreeSet::new());
        for (index, (module, projection)) in self.projections_mut().enumerate() {
            if config.targets(&module) {
                let [out, inputs] = projection.weight().shape();
                names.extend(module.rsplit('.').next().map(str::to_owned));
                weights.push(LoraWeights {
                    module,
                    a: Lora::initial_a(config.r, inputs, seed, index as u64, &device),
                    b: Tensor::zeros([out, config.r], &device),
                    magnitude: config.use_dora.then(|| row_norms(projection.weight().to_dense())),
                });
            }
        }
        let mut config = config.clone();
        if config.is_all_linear() {
            config.target_modules = names.into_iter().collect(); // as PEFT records them
        }
        self.attach_lora(&config, weights)
    }

    /// Puts an adapter on the projections it names; replaces one that is there.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if it was made for another model; the model is then as it was.
    pub fn attach_lora(&mut self, config: &LoraConfig, weights: Vec<LoraWeights>) -> Result<(), EngineError> {
        config.validate()?;
        let mut slots: Vec<(String, [usize; 2])> =
            self.projections_mut().map(|(name, projection)| (name, projection.weight().shape())).collect();
        if weights.is_empty() {
            let names = config.target_modules.join(", ");
            return Err(EngineError::Adapter(format!(
                "no projection of this model is named by target_modules {names}"
            )));
        }
        for LoraWeights { module, a, b, magnitude } in &weights {
            let Some(at) = slots.iter().position(|(name, _)| name == module) else {
                return Err(EngineError::Adapter(format!(
                    "this model has no `{module}`, or the adapter names it twice"
                )));
            };
            let (_, [out, inputs]) = slots.swap_remove(at);
            let (found, wanted) = ((a.dims(), b.dims()), ([config.r, inputs], [out, config.r]));
            if found != wanted {
                return Err(EngineError::Adapter(format!(
                    "`{module}` has A {:?} and B {:?}, this model needs A {:?} and B {:?}",
                    found.0, found.1, wanted.0, wanted.1
                )));
            }
            let (found, wanted) = (magnitude.as_ref().map(Tensor::dims), config.use_dora.then_some([1, out]));
            if found != wanted {
                return Err(EngineError::Adapter(format!(
                    "`{module}` has magnitudes {found:?}; with use_dora {} they are {wanted:?}",
                    config.use_dora
                )));
            }
        }
        for (index, (name, projection)) in self.projections_mut().enumerate() {
            projection.lora = None;
            if let Some(weights) = weights.iter().find(|weights| weights.module == name) {
                projection.attach(weights, config, index as u64);
            }
        }
        self.lora = Some(config.clone());
        Ok(())
    }

    /// The adapter that is attached, in the model's order of modules.
    pub fn lora(&self) -> Option<(&LoraConfig, Vec<LoraWeights>)> {
        let config = self.lora.as_ref()?;
        let mut layers = self.layers.clone(); // handles only; the weights are shared
        let adapters = layers.iter_mut().flat_map(|layer| layer.projections_mut());
        let weights = adapters.filter_map(|(module, projection)| {
            let lora = projection.lora.as_ref()?;
            let magnitude = lora.dora.as_ref().map(|dora| dora.magnitude.clone());
            Some(LoraWeights { module, a: lora.a.clone(), b: lora.b.clone(), magnitude })
        });
        Some((config, weights.collect()))
    }

    /// Adds the adapter's update to the dense weights it sits on and drops the adapter. Without an
    /// adapter this changes nothing.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if a weight is quantized; see [`Llama::dequantize`].
    pub fn merge_lora(&mut self) -> Result<(), EngineError> {
        let quantized = |projection: &Projection| matches!(projection.weight(), Weight::Quantized(_));
        if let Some((name, _)) = self.projections_mut().find(|(_, p)| p.lora.is_some() && quantized(p)) {
            return Err(EngineError::Adapter(format!(
                "`{name}` is quantized; merging needs 16- or 32-bit weights"
            )));
        }
        self.projections_mut().try_for_each(|(_, projection)| projection.merge())?;
        self.lora = None;
        Ok(())
    }
}
