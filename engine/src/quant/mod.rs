//! Block quantization: the formats of GGUF and bitsandbytes' NF4.

use burn::tensor::Device;

use crate::EngineError;

/// A block format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the formats' own names
pub enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
    NF4,
}

impl Format {
    /// Elements in one block; a row must be a multiple of it.
    pub const fn block_len(self) -> usize {
        match self {
            Format::Q4_K | Format::Q5_K | Format::Q6_K => 256,
            Format::NF4 => 64,
            _ => 32,
        }
    }

    /// Bytes of one block on disk (GGUF formats; NF4 is not stored in blocks and gives 32, its codes).
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::Q4_0 => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q8_0 => 34,
            Format::Q4_K => 144,
            Format::Q5_K => 176,
            Format::Q6_K => 210,
            Format::NF4 => 32,
        }
    }
}

/// A block-quantized matrix `[rows, cols]` on a device.
#[derive(Debug, Clone)]
pub struct QuantizedMatrix {}

impl QuantizedMatrix {
    /// Repacks a matrix stored as GGUF blocks, row after row.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if `bytes` is not exactly `rows * cols / block_len` blocks, or `cols`
    /// is not a multiple of the block length.
    pub fn from_blocks(_format: Format, _shape: [usize; 2], _bytes: &[u8], _device: &Device) -> Result<Self, EngineError> {
        unimplemented!()
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        unimplemented!()
    }
}

/// Quantizes `values` (whole blocks) to GGUF blocks.
pub fn quantize(_format: Format, _values: &[f32]) -> Vec<u8> {
    unimplemented!()
}

/// Dequantizes GGUF blocks.
pub fn dequantize(_format: Format, _blocks: &[u8]) -> Vec<f32> {
    unimplemented!()
}
