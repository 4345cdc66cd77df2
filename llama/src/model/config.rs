//! Model configurations as checkpoints store them, turned into the engine's [`LlamaConfig`](engine::LlamaConfig).

mod architecture;
mod checks;
mod gguf;
mod hugging_face;
mod yarn;

pub use architecture::Architecture;
pub use gguf::from_gguf;
pub(crate) use gguf::rope::{ROPE_FACTORS, rope_factors, rope_keys};
pub use hugging_face::from_json;
