//! Tensors only: the Llama architecture, 4-bit block quantization, LoRA, and the ops they need on
//! [burn]. This crate knows no path, no text and no network; `llama` feeds it.
//!
//! The walk through one inference step: [`Llama::forward`] → layer →
//! [`Projection`] → ops → kernels.

mod adapter;
mod batch;
mod cache;
mod config;
pub mod device;
mod error;
mod llama;
mod projection;
mod weights;

pub mod quant;

pub use adapter::LoraConfig;
pub use batch::{Batch, Outputs};
pub use cache::{KvCache, SequenceId};
pub use config::{LlamaConfig, RopeScaling};
pub use error::EngineError;
pub use llama::{Llama, LoraWeights};
pub use projection::Projection;
pub use weights::{Weight, WeightSource};
