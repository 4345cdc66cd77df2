//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.

pub mod adapter;
pub mod catalog;
mod chat_template;
pub mod checkpoint;
pub mod config;
pub mod dataset;
mod error;
pub mod export;
#[cfg(test)]
mod fake;
mod float;
mod generate;
pub mod gguf;
pub mod hub;
mod language_model;
mod mapped;
pub mod metrics;
mod model;
pub mod prompt;
pub mod safetensors;
mod sampler;
mod scheduler;
mod staged;
mod stop;
mod tokenizer;
pub mod training_checkpoint;

pub use adapter::Adapter;
pub use chat_template::{Answer, ChatTemplate, Message, TemplateError, Transcriber, Transcript};
pub use checkpoint::Checkpoint;
pub use dataset::Dataset;
pub use error::LlamaError;
pub use export::{Export, Recipe};
pub use float::Float;
pub use generate::{
    AdapterChoice, FinishReason, Generate, GenerateError, LoadedAdapter, PREFILL_TOKENS, Request,
    SPECULATED_ROWS, Token, generate,
};
pub use language_model::{CachedLlama, LanguageModel, SequencePart};
pub use model::Model;
pub use prompt::{GROUNDED_STOP, grounded_prompt, grounded_template};
pub use sampler::{Sampler, Sampling, SamplingError};
pub use scheduler::{Limits, LoadAdapterError, Scheduler, Stats, SubmitError, Ticket, TokenStream};
pub use stop::StopStrings;
pub use tokenizer::{DecodeStream, Tokenizer, TokenizerError};
pub use training_checkpoint::TrainingCheckpoint;
