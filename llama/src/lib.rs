//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.

pub mod catalog;
mod chat_template;
pub mod checkpoint;
pub mod config;
mod error;
mod float;
pub mod gguf;
pub mod hub;
mod mapped;
pub mod prompt;
pub mod safetensors;
mod tokenizer;

pub use chat_template::{ChatTemplate, Message, TemplateError};
pub use checkpoint::Checkpoint;
pub use error::LlamaError;
pub use float::Float;
pub use tokenizer::{DecodeStream, Tokenizer, TokenizerError};
