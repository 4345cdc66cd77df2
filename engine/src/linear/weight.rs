//! Where a model's weights come from.

use burn::tensor::Tensor;

use crate::linear::quantized_matrix::QuantizedMatrix;

/// A matrix `[out, in]` as a checkpoint stores it.
#[allow(clippy::large_enum_variant)] // with GPU backends a handle of burn's is large
#[derive(Debug, Clone)]
pub enum Weight {
    /// Floating point, `[out, in]`: 32 bits, in an embedding table perhaps 16.
    Dense(Tensor<2>),
    /// Block-quantized, `[out, in]`.
    Quantized(QuantizedMatrix),
}

impl Weight {
    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Weight::Dense(tensor) => tensor.dims(),
            Weight::Quantized(matrix) => matrix.shape(),
        }
    }

    /// The matrix as floating point; a quantized one's is new memory.
    pub(crate) fn to_dense(&self) -> Tensor<2> {
        match self {
            Weight::Dense(tensor) => tensor.clone(),
            Weight::Quantized(matrix) => matrix.dequantize(),
        }
    }
}

/// A checkpoint, seen as named tensors under Hugging Face's names
/// (`model.layers.0.self_attn.q_proj.weight`). Rotary pairing is half-split, Hugging Face's: a
/// source that stores another order (GGUF) undoes it here.
pub trait WeightSource {
    /// The error of the file behind it.
    type Error: From<crate::error::EngineError>;

    /// Whether the checkpoint has a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// The matrix `name`, which must have the shape `[out, in]`.
    ///
    /// # Errors
    /// If it is missing, has another shape, or cannot be read.
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, Self::Error>;

    /// The embedding table `name`, which must have the shape `[vocab, hidden]`, of a model whose head is
    /// another matrix. Its rows are looked up and never multiplied, so it may be of 16-bit floats.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, Self::Error> {
        self.matrix(name, shape)
    }

    /// The vector `name`, which must have `len` elements, as f32.
    ///
    /// # Errors
    /// If it is missing, has another shape, or cannot be read.
    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, Self::Error>;
}
