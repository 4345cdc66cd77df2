//! Low-rank adaptation.
//!
//! ```text
//!            x [tokens, in]
//!          ┌────┴──────────┐
//!          │            dropout            only in training
//!     W [out, in]       A [r, in]          A: Kaiming-uniform, B: 0, so the adapter starts as nothing
//!       frozen          B [out, r]
//!          │               │ · scale              α/r, or α/√r
//!          └──────(+)──────┘
//!            y [tokens, out]
//! ```
//!
//! Source: Hu et al. 2021, arXiv:2106.09685; orientation and names as PEFT's.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::adapter::dora::Dora;
use crate::error::EngineError;
use crate::ops::dropout::{Mask, dropout};
use crate::ops::lora::{LoraPart, PartRows};
use crate::rng::mix;

/// The configuration of a LoRA adapter, under PEFT's names (`adapter_config.json`).
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: usize,
    /// Numerator of the scale; see [`LoraConfig::scale`].
    pub lora_alpha: f32,
    /// Probability that an input of A is dropped in training.
    pub lora_dropout: f32,
    /// Names of the projections that carry an adapter, as `q_proj`; before the adapter is made, perhaps
    /// [`ALL_LINEAR`] alone.
    pub target_modules: Vec<String>,
    /// Scale by `lora_alpha / sqrt(r)`, so that a higher rank learns as fast as a lower one.
    ///
    /// Source: Kalajdzievski 2023, arXiv:2312.03732.
    pub use_rslora: bool,
    /// Learn the rows' magnitudes beside their direction.
    ///
    /// Source: Liu et al. 2024, arXiv:2402.09353.
    pub use_dora: bool,
}

/// PEFT's shorthand in `target_modules`: every linear layer but the output head.
pub const ALL_LINEAR: &str = "all-linear";

impl Default for LoraConfig {
    /// PEFT's defaults, which name no projection.
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: Vec::new(),
            use_rslora: false,
            use_dora: false,
        }
    }
}

impl LoraConfig {
    /// The factor of `B·A`: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`.
    pub fn scale(&self) -> f32 {
        let r = self.r as f32;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Whether the projection `module` carries an adapter: its last names are one of the targets, or the
    /// targets are [`ALL_LINEAR`].
    pub fn targets(&self, module: &str) -> bool {
        let named = |target: &String| module == target || module.ends_with(&format!(".{target}"));
        self.is_all_linear() || self.target_modules.iter().any(named)
    }

    /// PEFT ignores the shorthand's case.
    pub(crate) fn is_all_linear(&self) -> bool {
        matches!(self.target_modules.as_slice(), [name] if name.eq_ignore_ascii_case(ALL_LINEAR))
    }

    /// # Errors
    /// [`EngineError::Adapter`] with the field that describes no adapter.
    pub(crate) fn validate(&self) -> Result<(), EngineError> {
        let problem = if self.r == 0 {
            "r is 0"
        } else if !(0.0..1.0).contains(&self.lora_dropout) {
            "lora_dropout is not in 0 ≤ p < 1"
        } else if !self.lora_alpha.is_finite() {
            "lora_alpha is not a number"
        } else {
            return Ok(());
        };
        Err(EngineError::Adapter(problem.into()))
    }
}

/// One projection's adapter.
#[derive(Debug, Clone)]
pub struct LoraWeights {
    /// The projection's name, `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// `A [r, in]`.
    pub a: Tensor<2>,
    /// `B [out, r]`.
    pub b: Tensor<2>,
    /// With `use_dora`: PEFT's `lora_magnitude_vector`, as `[1, out]`.
    pub magnitude: Option<Tensor<2>>,
}

impl LoraWeights {
    /// `W + scale·B·A`, with DoRA its rows as long as the magnitudes say: the weight that computes what
    /// `weight` and the adapter do together.
    ///
    /// # Shapes
    /// - `weight`: `[out, in]`
    /// - returns `[out, in]`
    ///
    /// # Panics
    /// If `weight` is not of the projection's shape.
    pub fn merged(&self, weight: Tensor<2>, config: &LoraConfig) -> Tensor<2> {
        Lora::new(self, config, 0, || weight.clone()).merged(weight.clone())
    }
}

/// The adapter of one projection.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    pub a: Tensor<2>, // [r, in]
    pub b: Tensor<2>, // [out, r]
    pub dora: Option<Dora>,
    pub scale: f32,
    /// Distinguishes the projections' dropout masks.
    pub index: u64,
}

/// Dropout of one micro-batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    pub probability: f32,
    pub key: u64,
}

impl Lora {
    /// The adapter of the projection number `index`; `weight` is asked for with DoRA only.
    pub fn new(
        weights: &LoraWeights,
        config: &LoraConfig,
        index: u64,
        weight: impl FnOnce() -> Tensor<2>,
    ) -> Self {
        let LoraWeights { a, b, magnitude, .. } = weights;
        let mut lora = Self { a: a.clone(), b: b.clone(), dora: None, scale: config.scale(), index };
        lora.dora = magnitude.clone().map(|magnitude| Dora::new(magnitude, lora.directed(weight())));
        lora
    }

    /// The tensors that learn, in the optimizer's order.
    pub fn parameters(&self) -> impl Iterator<Item = &Tensor<2>> {
        [&self.a, &self.b].into_iter().chain(self.dora.as_ref().map(|dora| &dora.magnitude))
    }

    /// The tensors that learn, in the optimizer's order.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Tensor<2>> {
        [&mut self.a, &mut self.b].into_iter().chain(self.dora.as_mut().map(|dora| &mut dora.magnitude))
    }

    /// Has DoRA's norms follow `weight`, A and B, which may have changed.
    pub fn renew_norms(&mut self, weight: impl FnOnce() -> Tensor<2>) {
        if let Some(dora) = self.dora.take() {
            self.dora = Some(Dora::new(dora.magnitude, self.directed(weight())));
        }
    }

    /// `W + scale·B·A`, with DoRA scaled by row: `[out, in]`.
    pub fn merged(&self, weight: Tensor<2>) -> Tensor<2> {
        let directed = self.directed(weight);
        match &self.dora {
            Some(dora) => dora.scaled(directed),
            None => directed,
        }
    }

    /// `W + scale·B·A`: `[out, in]`.
    fn directed(&self, weight: Tensor<2>) -> Tensor<2> {
        weight.add(self.b.clone().matmul(self.a.clone()).mul_scalar(self.scale))
    }

    /// `A` as PEFT starts it: Kaiming-uniform with `a = sqrt(5)`, that is uniform in `±1/sqrt(in)`.
    pub fn initial_a(r: usize, inputs: usize, seed: u64, index: u64, device: &Device) -> Tensor<2> {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed, index));
        let bound = 1.0 / (inputs as f32).sqrt();
        let values: Vec<f32> = (0..r * inputs).map(|_| rng.random_range(-bound..bound)).collect();
        Tensor::from_data(TensorData::new(values, [r, inputs]), device)
    }

    /// The argument for [`lora`](crate::ops::lora::lora) in some rows or in all.
    pub fn part(&self, rows: Option<PartRows<Tensor<2>>>, dropout: Option<Dropout>) -> LoraPart<Tensor<2>> {
        LoraPart {
            rows,
            a: self.a.clone(),
            b: self.b.clone(),
            factor: self.dora.as_ref().map(Dora::factor),
            scale: self.scale,
            dropout: dropout.and_then(|by| self.mask(by)),
        }
    }

    /// `dropout(x)`.
    pub fn dropped(&self, x: Tensor<2>, by: Dropout) -> Tensor<2> {
        match self.mask(by) {
            Some(mask) => dropout(x, mask),
            None => x,
        }
    }

    fn mask(&self, by: Dropout) -> Option<Mask> {
        (by.probability > 0.0).then(|| Mask::new(by.probability, mix(by.key, self.index)))
    }
}
