//! A block-quantized matrix on a device.

#[cfg(all(test, feature = "flex"))]
mod kernel_laws;
#[cfg(test)]
mod laws;

use burn::tensor::{DType, Device, Int, Tensor};

use crate::backend::weight_memory::{self, WeightMemory};
use crate::error::EngineError;
use crate::ops::quantized::{self, Arithmetic};
use crate::quant::formats::nf4;
use crate::quant::{self, Format, Layout, Nf4, pack};

/// A block-quantized matrix `[rows, cols]`, packed as [`Layout`] describes; `rows` are outputs.
#[derive(Debug, Clone)]
pub struct QuantizedMatrix {
    words: Tensor<1, Int>, // [layout.words()], u32
    layout: Layout,
    arithmetic: Arithmetic,
}

impl QuantizedMatrix {
    /// Repacks a matrix stored as GGUF blocks, row after row.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if `bytes` is not exactly `rows * cols / block_len` blocks, or `cols`
    /// is not a multiple of the block length.
    pub fn from_blocks(
        format: Format,
        shape: [usize; 2],
        bytes: &[u8],
        device: &Device,
    ) -> Result<Self, EngineError> {
        let layout = Layout::new(format, shape)?;
        let wanted = layout.rows() * layout.blocks() * format.block_bytes();
        let refused =
            |reason| EngineError::Shape { what: format!("{} matrix {shape:?}", format.name()), reason };
        let Some(blocks) = &format.spec().blocks else {
            return Err(refused("a file has no blocks of it; use `from_nf4`".into()));
        };
        if bytes.len() != wanted {
            return Err(refused(format!("{} bytes of blocks, {wanted} expected", bytes.len())));
        }
        let mut words = weight_memory::zeros(layout.words());
        pack::pack(layout, blocks, bytes, &mut words);
        Ok(Self::from_words(layout, words, device))
    }

    /// Packs an NF4 matrix with double quantization, as bitsandbytes stores it.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if the parts do not belong to a matrix of this shape.
    pub fn from_nf4(shape: [usize; 2], nf4: &Nf4, device: &Device) -> Result<Self, EngineError> {
        let layout = Layout::new(Format::NF4, shape)?;
        if nf4.len() != layout.rows() * layout.cols() {
            return Err(EngineError::Shape {
                what: format!("NF4 matrix {shape:?}"),
                reason: format!("{} values", nf4.len()),
            });
        }
        let mut words = weight_memory::zeros(layout.words());
        nf4::pack(layout, nf4, &mut words);
        Ok(Self::from_words(layout, words, device))
    }

    /// Quantizes `values`, a row-major `[rows, cols]` matrix.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if the shape does not fit the values or the format.
    pub fn quantize(
        format: Format,
        shape: [usize; 2],
        values: &[f32],
        device: &Device,
    ) -> Result<Self, EngineError> {
        let [rows, cols] = shape;
        Layout::new(format, shape)?;
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(EngineError::Shape {
                what: format!("{format:?} matrix {shape:?}"),
                reason: format!("{} values", values.len()),
            });
        }
        match format.spec().blocks {
            None => Self::from_nf4(shape, &Nf4::quantize(values), device),
            Some(_) => Self::from_blocks(format, shape, &quant::quantize(format, values)?, device),
        }
    }

    fn from_words(layout: Layout, words: WeightMemory, device: &Device) -> Self {
        assert_eq!(words.len(), layout.words(), "the words of another layout");
        let words = Tensor::from_data(weight_memory::into_data(words), (device, DType::U32));
        Self { words, layout, arithmetic: Arithmetic::default() }
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.layout.rows(), self.layout.cols()]
    }

    /// The block format.
    pub fn format(&self) -> Format {
        self.layout.format()
    }

    /// Bytes that the packed matrix takes in memory.
    pub fn bytes(&self) -> usize {
        self.layout.words() * 4
    }

    /// The same matrix (sharing its memory), multiplied with this arithmetic.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Converts back to GGUF blocks, exactly; `None` for NF4, which is not stored in blocks.
    pub fn to_blocks(&self) -> Option<Vec<u8>> {
        let blocks = self.layout.format().spec().blocks.as_ref()?;
        Some(pack::unpack(self.layout, blocks, &self.host_words()))
    }

    /// Converts back to bitsandbytes' parts, exactly; `None` for the other formats.
    pub fn to_nf4(&self) -> Option<Nf4> {
        (self.layout.format() == Format::NF4).then(|| nf4::unpack(self.layout, &self.host_words()))
    }

    fn host_words(&self) -> Vec<u32> {
        // The words were written as u32, and reading a tensor back fails only when its device is gone.
        self.words.to_data().try_into_vec().expect("packed words are u32")
    }

    /// `y = x · Wᵀ`: `x [tokens, cols]` → `[tokens, rows]`.
    pub fn matmul(&self, x: Tensor<2>) -> Tensor<2> {
        let [y] = Self::matmul_each([self], x);
        y
    }

    /// `y = x · Wᵀ` for each of `matrices`, bit for bit as one by one, but faster: `x [tokens, cols]` →
    /// `[tokens, rows]` each.
    ///
    /// # Panics
    /// If a matrix has another number of columns, or is on another device.
    pub fn matmul_each<const N: usize>(matrices: [&Self; N], x: Tensor<2>) -> [Tensor<2>; N] {
        let arithmetic = matrices.first().map_or_else(Arithmetic::default, |first| first.arithmetic);
        if matrices.iter().any(|matrix| matrix.arithmetic != arithmetic) {
            return matrices.map(|matrix| matrix.matmul(x.clone()));
        }
        let parts = matrices.map(|matrix| (matrix.words.clone(), matrix.layout));
        let ys = quantized::matmul(x, parts.into(), arithmetic);
        ys.try_into().expect("a product for each matrix")
    }

    /// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`.
    pub fn matmul_transposed(&self, dy: Tensor<2>) -> Tensor<2> {
        quantized::matmul_transposed(dy, self.words.clone(), self.layout, self.arithmetic)
    }

    /// The rows named by `ids [n]`, as f32: `[n, cols]`.
    pub fn rows(&self, ids: &[u32]) -> Tensor<2> {
        quantized::rows(self.words.clone(), self.layout, ids)
    }

    /// The whole matrix as f32: `[rows, cols]`.
    pub fn dequantize(&self) -> Tensor<2> {
        quantized::dequantize(self.words.clone(), self.layout)
    }
}
