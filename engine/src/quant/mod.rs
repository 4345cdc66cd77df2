//! Block quantization: the formats of GGUF and bitsandbytes' NF4.

mod blocks;
pub(crate) mod decode;
mod dynamic_map;
mod fit;
mod format;
mod k_quants;
mod layout;
mod legacy;
mod matrix;
mod nf4;
pub(crate) mod pack;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod laws;
#[cfg(all(test, feature = "flex"))]
mod packed_laws;

pub use blocks::{dequantize, quantize};
pub use dynamic_map::dynamic_map;
pub use format::Format;
pub use layout::{Layout, TILE};
pub use matrix::QuantizedMatrix;
pub use nf4::{NF4_CODE, Nf4};
