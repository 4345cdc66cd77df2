//! One optimizer step of LoRA fine-tuning.
//!
//! The backward pass goes layer by layer: every layer is its own little graph from a detached input,
//! so that its tape is freed as soon as it has been walked. With gradient checkpointing a layer keeps no
//! tape at all, only its input, and its forward pass is made again when its turn comes.

pub mod state;

use burn::tensor::{Tensor, TensorData};

use crate::adapter::lora::Dropout;
use crate::adapter::row_adapters::RowAdapters;
use crate::error::EngineError;
use crate::model::forward_context::ForwardContext;
use crate::model::layer::DecoderLayer;
use crate::model::llama::Llama;
use crate::ops::gather::select_rows;
use crate::ops::host_values::host_values;
use crate::rng::mix;
use crate::span::span;
use crate::train::adamw::{AdamW, AdamWConfig};
use crate::train::example::{CausalAttention, Example, Packed};
use crate::train::loss::log_probabilities;
use crate::train::objective::{Loss, negative_log_likelihood};

/// A model in training: the adapter learns, everything else is frozen.
#[derive(Debug)]
pub struct Finetune {
    llama: Llama,
    optimizer: AdamW,
    gradient_checkpointing: bool,
    seed: u64,
    steps: u64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The loss before the update: of [`Finetune::step`], the mean negative log-likelihood of the learned tokens.
    pub loss: f64,
    /// Norm of the whole gradient, before clipping.
    pub grad_norm: f64,
    /// Learned tokens.
    pub tokens: usize,
}

impl Finetune {
    /// Prepares the training of the adapter that `llama` carries.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] if it carries none.
    pub fn new(llama: Llama, config: AdamWConfig, seed: u64) -> Result<Self, EngineError> {
        if llama.lora().is_none() {
            return Err(EngineError::Adapter("there is no adapter to train".into()));
        }
        let optimizer = AdamW::new(config);
        Ok(Self { llama, optimizer, gradient_checkpointing: false, seed, steps: 0 })
    }

    /// The same, keeping only the input of every layer for the backward pass: the same gradients bit for
    /// bit, in more time and a fraction of the memory.
    #[must_use]
    pub fn with_gradient_checkpointing(self, gradient_checkpointing: bool) -> Self {
        Self { gradient_checkpointing, ..self }
    }

    /// The model with its adapter as it is now.
    pub fn model(&self) -> &Llama {
        &self.llama
    }

    /// The model with its adapter as it is now.
    pub fn into_model(self) -> Llama {
        self.llama
    }

    /// One update from the examples of all micro-batches, as if they were one batch: gradients are
    /// normalised by the number of learned tokens over all of them.
    ///
    /// # Errors
    /// A token outside the vocabulary, nothing to learn, or [`EngineError::NotFinite`]; nothing has changed then.
    pub fn step(&mut self, micro_batches: &[Vec<Example>], lr: f64) -> Result<StepReport, EngineError> {
        let tokens = micro_batches.iter().flatten().map(Example::learned_tokens).sum();
        self.step_by(micro_batches, lr, |log_probs| negative_log_likelihood(log_probs, tokens))
    }

    /// As [`Finetune::step`] with another loss: the sum of `objective` over the micro-batches, of which it gets the
    /// log-probabilities of each example's learned tokens, and gives a slope for each.
    ///
    /// # Errors
    /// As [`Finetune::step`], and [`EngineError::Shape`] if there is not a slope for each learned token.
    pub fn step_by(
        &mut self,
        micro_batches: &[Vec<Example>],
        lr: f64,
        objective: impl Fn(&[&[f32]]) -> Loss,
    ) -> Result<StepReport, EngineError> {
        let tokens: usize = micro_batches.iter().flatten().map(Example::learned_tokens).sum();
        if tokens == 0 {
            return Err(EngineError::Shape {
                what: "training step".into(),
                reason: "no token to learn".into(),
            });
        }
        span!("training_step", tokens = tokens);
        let mut gradients: Vec<Option<Tensor<2>>> = Vec::new();
        let mut loss = 0.0;
        for (index, examples) in micro_batches.iter().enumerate() {
            let probability = self.llama.lora().map_or(0.0, |(config, _)| config.lora_dropout);
            let key = mix(mix(self.seed, self.steps), index as u64);
            let (value, found) = self.backward(examples, &objective, Dropout { probability, key })?;
            loss += value;
            gradients.resize(found.len().max(gradients.len()), None);
            for (sum, gradient) in gradients.iter_mut().zip(found) {
                *sum = match (sum.take(), gradient) {
                    (Some(sum), Some(gradient)) => Some(sum.add(gradient)),
                    (sum, gradient) => sum.or(gradient),
                };
            }
        }
        let squares = gradients.iter().flatten().map(square_sum);
        let grad_norm = squares.sum::<f64>().sqrt();
        for (what, value) in [("loss", loss), ("gradient", grad_norm)] {
            if !value.is_finite() {
                return Err(EngineError::NotFinite { what });
            }
        }
        let mut parameters: Vec<&mut Tensor<2>> = Vec::new();
        for layer in &mut self.llama.layers {
            for (_, projection) in layer.projections_mut() {
                if let Some(lora) = projection.lora_mut() {
                    parameters.extend(lora.parameters_mut());
                }
            }
        }
        self.optimizer.update(parameters, gradients, grad_norm, lr);
        for layer in &mut self.llama.layers {
            layer.projections_mut().into_iter().for_each(|(_, projection)| projection.renew_norms());
        }
        self.steps += 1;
        Ok(StepReport { loss, grad_norm, tokens })
    }

    /// The loss of one micro-batch, and its gradients by the parameters of every adapter, in the model's order.
    fn backward(
        &self,
        examples: &[Example],
        objective: &impl Fn(&[&[f32]]) -> Loss,
        dropout: Dropout,
    ) -> Result<(f64, Vec<Option<Tensor<2>>>), EngineError> {
        let packed = Packed::new(examples);
        self.llama.check_tokens(&packed.tokens)?;
        self.llama.check_positions(packed.spans.iter().map(ExactSizeIterator::len))?;
        if packed.targets.is_empty() {
            return Ok((0.0, Vec::new()));
        }
        let device = self.llama.device();
        let rotation = self.llama.rope().at(&packed.positions, device);
        let mut attend =
            CausalAttention::new(&packed.spans, self.llama.config().sliding_window, self.llama.device());
        let mut adapters = RowAdapters::all(packed.tokens.len(), self.llama.adapter(), self.llama.device());
        adapters.dropout = Some(dropout);
        let mut context = ForwardContext { rotation: &rotation, attend: &mut attend, adapters };

        let mut x = self.llama.embed(&packed.tokens); // [tokens, hidden]
        // Nothing before the first layer learns, so its input needs no gradient.
        let learned = self.llama.layers.iter().enumerate().map(|(index, layer)| (layer, index > 0));
        let mut stages = Vec::with_capacity(self.llama.layers.len());
        for (layer, learns) in learned.clone() {
            let stage = match self.gradient_checkpointing {
                true => None,
                false => Some(Stage::forward(layer, x.clone(), learns, &mut context)),
            };
            let output = match &stage {
                Some(stage) => stage.output.clone().inner(),
                None => layer.forward(x.clone(), &mut context), // [tokens, hidden]
            };
            stages.push((std::mem::replace(&mut x, output), stage));
        }

        let input = x.autodiff().require_grad();
        let h = self.llama.norm.forward(select_rows(input.clone(), &packed.predictors)); // [targets, hidden]
        let (log_probs, dh) =
            log_probabilities(h.clone().inner(), &packed.targets, &self.llama.lm_head, true);
        let loss = objective(&packed.by_example(&log_probs));
        if !loss.slopes.iter().map(Vec::len).eq(packed.learned.iter().copied()) {
            return Err(EngineError::Shape {
                what: "loss".into(),
                reason: format!("a slope is needed for each of {} learned tokens", log_probs.len()),
            });
        }
        let weights: Vec<f32> = loss.slopes.concat().iter().map(|slope| -slope).collect();
        let weights = Tensor::from_data(TensorData::new(weights, [log_probs.len(), 1]), device);
        let dh = dh.map(|dh| dh.mul(weights)); // [targets, hidden]
        let mut dx = dh.and_then(|dh| input.grad(&pull(h, dh).backward())); // [tokens, hidden]

        let mut by_layer = Vec::with_capacity(stages.len());
        span!("backward");
        for ((x, stage), (layer, learns)) in stages.into_iter().zip(learned).rev() {
            let again = || Stage::forward(layer, x, learns, &mut context);
            let Stage { mut layer, input, output } = stage.unwrap_or_else(again);
            let mut found = Vec::new();
            let gradients = match dx.take() {
                Some(dy) if output.is_tracked() => Some(pull(output, dy).backward()),
                _ => None,
            };
            for (_, projection) in layer.projections_mut() {
                if let Some(lora) = projection.lora() {
                    let gradient = |p: &Tensor<2>| gradients.as_ref().and_then(|all| p.grad(all));
                    found.extend(lora.parameters().map(gradient));
                }
            }
            dx = gradients.as_ref().and_then(|gradients| input.grad(gradients));
            by_layer.push(found);
        }
        Ok((loss.value, by_layer.into_iter().rev().flatten().collect()))
    }
}

/// A layer with its tape.
struct Stage {
    layer: DecoderLayer,
    input: Tensor<2>,  // [tokens, hidden]
    output: Tensor<2>, // [tokens, hidden]
}

impl Stage {
    /// The forward pass of a layer, whose input gets a gradient if something before it learns.
    fn forward(layer: &DecoderLayer, x: Tensor<2>, learns: bool, context: &mut ForwardContext) -> Self {
        let layer = tracked(layer);
        let input = if learns { x.autodiff().require_grad() } else { x.autodiff() };
        let output = layer.forward(input.clone(), context);
        Self { layer, input, output }
    }
}

/// A scalar whose gradient by `y` is `dy`.
fn pull(y: Tensor<2>, dy: Tensor<2>) -> Tensor<1> {
    y.mul(dy.autodiff()).sum()
}

/// The layer with its adapter's tensors as leaves of a new graph.
fn tracked(layer: &DecoderLayer) -> DecoderLayer {
    let mut layer = layer.clone();
    for (_, projection) in layer.projections_mut() {
        if let Some(lora) = projection.lora_mut() {
            for parameter in lora.parameters_mut() {
                *parameter = parameter.clone().autodiff().require_grad();
            }
        }
    }
    layer
}

fn square_sum(gradient: &Tensor<2>) -> f64 {
    let values = host_values(gradient.clone());
    values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum()
}
