//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.

pub mod checkpoint;
pub mod config;
mod error;
mod float;
pub mod gguf;
mod mapped;
pub mod prompt;
pub mod safetensors;

pub use checkpoint::Checkpoint;
pub use error::LlamaError;
pub use float::Float;
