//! The ops a Llama needs beyond burn's own. Each is written with ordinary burn ops, which is its
//! reference; where a backend has a kernel, a backend extension overrides it.

#[cfg(all(test, feature = "flex"))]
mod attention;
#[cfg_attr(feature = "ndarray", allow(deprecated))]
pub mod causal;
mod dequantize;
pub mod dropout;
#[cfg_attr(feature = "ndarray", allow(deprecated))]
pub mod fused;
pub mod matrices;
#[cfg_attr(feature = "ndarray", allow(deprecated))]
pub mod paged;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // burn retires ndarray; we keep it to compare
pub mod quantized;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
pub(crate) mod swiglu;

#[cfg(all(test, feature = "flex"))]
mod laws;

#[cfg(all(test, feature = "flex"))]
pub(crate) use dequantize::dequantize as reference_dequantize;
