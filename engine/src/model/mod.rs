//! The Llama architecture: one forward pass for inference and training.

mod adapters;
mod attention;
#[cfg(all(test, feature = "flex"))]
mod bias_laws;
pub(crate) mod footprint;
pub(crate) mod forward_context;
#[cfg(all(test, feature = "flex"))]
pub(crate) mod laws;
pub(crate) mod layer;
pub(crate) mod llama;
mod mlp;
mod norm;
mod paged_attention;
mod rope;
#[cfg(all(test, feature = "flex"))]
mod row_laws;
