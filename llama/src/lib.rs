//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.

pub mod adapter;
pub mod catalog;
mod chat_template;
pub mod checkpoint;
pub mod config;
pub mod dataset;
mod error;
mod float;
pub mod gguf;
pub mod hub;
mod mapped;
mod model;
pub mod prompt;
pub mod safetensors;
mod tokenizer;

pub use adapter::Adapter;
pub use chat_template::{ChatTemplate, Message, TemplateError};
pub use checkpoint::Checkpoint;
pub use dataset::Dataset;
pub use error::LlamaError;
pub use float::Float;
pub use model::Model;
pub use prompt::{grounded_prompt, grounded_template};
pub use tokenizer::{DecodeStream, Tokenizer, TokenizerError};
