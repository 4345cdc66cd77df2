//! Files as they lie on disk: GGUF and safetensors mapped into memory, and files written whole or not at all.

pub(crate) mod atomic_write;
pub(crate) mod float;
pub mod gguf;
pub(crate) mod mapped_file;
pub mod safetensors;
