//! The Llama architecture: one forward pass for inference and training.

mod adapters;
mod attention;
#[cfg(test)]
mod bias_laws;
pub(crate) mod footprint;
pub(crate) mod forward_context;
#[cfg(test)]
pub(crate) mod laws;
pub(crate) mod layer;
pub(crate) mod llama;
mod mlp;
mod norm;
mod paged_attention;
mod rope;
#[cfg(test)]
mod row_laws;
pub(crate) mod streamed;
