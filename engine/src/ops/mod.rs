//! The ops a Llama needs beyond burn's own. Each is written with ordinary burn ops, which is its
//! reference; where a backend has a kernel, a backend extension overrides it.
//!
//! What is public are functions that check the shapes of what they are given. The backend extensions take that for
//! granted, so they are the crate's own.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // `backend_extension` names burn's retiring ndarray

mod attention;
pub(crate) mod causal;
pub(crate) mod cross_entropy;
pub(crate) mod dense;
mod dequantize;
pub(crate) mod dropout;
pub(crate) mod fused;
pub(crate) mod gather;
pub(crate) mod host_values;
pub(crate) mod lora;
pub(crate) mod matrices;
pub(crate) mod paged;
pub(crate) mod quantized;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
pub(crate) mod swiglu;

#[cfg(test)]
mod laws;

pub use causal::causal_attention;
pub use cross_entropy::cross_entropy;
pub use rms_norm::rms_norm;
pub use swiglu::swiglu;

#[cfg(all(test, feature = "flex"))]
pub(crate) use dequantize::dequantize as reference_dequantize;
