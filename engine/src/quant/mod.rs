//! Block quantization: the formats of GGUF and bitsandbytes' NF4.

mod blocks;
mod dynamic_map;
mod fit;
mod format;
mod k_quants;
mod legacy;
mod nf4;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod laws;

pub use blocks::{dequantize, quantize};
pub use dynamic_map::dynamic_map;
pub use format::Format;
pub use nf4::{NF4_CODE, Nf4};

use burn::tensor::Device;

use crate::EngineError;

/// A block-quantized matrix `[rows, cols]` on a device.
#[derive(Debug, Clone)]
pub struct QuantizedMatrix {}

impl QuantizedMatrix {
    /// Repacks a matrix stored as GGUF blocks, row after row.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if `bytes` is not exactly `rows * cols / block_len` blocks, or `cols`
    /// is not a multiple of the block length.
    pub fn from_blocks(
        _format: Format,
        _shape: [usize; 2],
        _bytes: &[u8],
        _device: &Device,
    ) -> Result<Self, EngineError> {
        unimplemented!()
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        unimplemented!()
    }
}
