//! Tensors only: the Llama architecture, 4-bit block quantization, LoRA, and the ops they need on
//! [burn]. This crate knows no path, no text and no network; `llama` feeds it.
//!
//! The walk through one inference step: [`Llama::forward`] → layer → [`Projection`] → [`ops`] →
//! kernels. The walk through one training step: [`Finetune::step`] → layer → loss → AdamW.
//!
//! Imports go one way, from the last to the first:
//! `quant ← ops ← backend ← adapter ← linear ← cache ← model ← train`.

mod adapter;
mod backend;
mod cache;
mod config;
pub mod device;
mod error;
#[cfg(test)]
mod every_backend;
mod linear;
mod model;
pub mod ops;
pub mod quant;
mod rng;
mod span;
pub mod threads;
mod train;

pub use adapter::AdapterId;
pub use adapter::lora::{ALL_LINEAR, LoraConfig, LoraWeights};
pub use backend::{instruction_set, keep_freed_memory};
pub use cache::batch::{Batch, Outputs};
pub use cache::kv_cache::{CacheType, KvCache};
pub use cache::ledger::SequenceId;
pub use config::{AttentionBias, LlamaConfig, RopeScaling};
pub use error::EngineError;
pub use linear::projection::Projection;
pub use linear::quantized_matrix::QuantizedMatrix;
pub use linear::weight::{Weight, WeightSource};
pub use model::footprint::Footprint;
pub use model::llama::Llama;
pub use model::streamed::streamed_logits;
pub use ops::quantized::Arithmetic;
pub use train::adamw::AdamWConfig;
pub use train::example::Example;
pub use train::finetune::state::FinetuneState;
pub use train::finetune::{Finetune, StepReport};
pub use train::loss::Nll;
pub use train::objective::{Loss, negative_log_likelihood};
