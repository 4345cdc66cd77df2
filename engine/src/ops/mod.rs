//! The ops a Llama needs beyond burn's own. Each is written with ordinary burn ops, which is its
//! reference; where a backend has a kernel, a backend extension overrides it.

#![cfg_attr(feature = "ndarray", allow(deprecated))] // `backend_extension` names burn's retiring ndarray

mod attention;
pub mod causal;
pub(crate) mod dense;
mod dequantize;
pub mod dropout;
pub mod fused;
pub(crate) mod gather;
pub(crate) mod host_values;
pub(crate) mod lora;
pub mod matrices;
pub mod paged;
pub mod quantized;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
pub(crate) mod swiglu;

#[cfg(test)]
mod laws;

#[cfg(all(test, feature = "flex"))]
pub(crate) use dequantize::dequantize as reference_dequantize;
