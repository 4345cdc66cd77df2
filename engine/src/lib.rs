//! Tensors only: the Llama architecture, 4-bit block quantization, LoRA, and the ops they need on
//! [burn]. This crate knows no path, no text and no network; `llama` feeds it.
//!
//! The walk through one inference step: [`Llama::forward`] → layer → [`Projection`] → [`ops`] →
//! kernels. The walk through one training step: [`Finetune::step`] → layer → loss → AdamW.

mod adamw;
#[cfg(all(test, feature = "flex"))]
mod adapter_laws;
mod attention;
mod batch;
mod cache;
mod config;
pub mod device;
mod dora;
mod error;
mod example;
mod finetune;
#[cfg(feature = "flex")]
mod kernels;
mod layer;
mod llama;
mod lora;
mod loss;
mod mlp;
#[cfg(all(test, feature = "flex"))]
mod model_laws;
mod norm;
pub mod ops;
mod pass;
mod projection;
pub mod quant;
mod rope;
mod rows;
mod size;
pub mod threads;
mod weights;

pub use adamw::AdamWConfig;
pub use batch::{Batch, Outputs};
pub use cache::{CacheType, KvCache, SequenceId};
pub use config::{LlamaConfig, RopeScaling};
pub use error::EngineError;
pub use example::Example;
pub use finetune::state::FinetuneState;
pub use finetune::{Finetune, StepReport};
#[cfg(feature = "flex")]
pub use kernels::heap::keep_freed_memory;
pub use llama::Llama;
pub use lora::{ALL_LINEAR, LoraConfig, LoraWeights};
pub use loss::Nll;
pub use ops::quantized::Arithmetic;
pub use projection::Projection;
pub use size::Size;
pub use weights::{Weight, WeightSource};
