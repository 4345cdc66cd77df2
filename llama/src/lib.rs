//! Files, text and tokens: everything between a model on disk and the `engine`'s tensors, and
//! everything between a person's text and its token ids.

mod chat_template;
mod error;
pub mod gguf;
mod mapped;
mod tokenizer;

pub use chat_template::{ChatTemplate, Message, TemplateError};
pub use error::LlamaError;
pub use tokenizer::{DecodeStream, Tokenizer, TokenizerError};
