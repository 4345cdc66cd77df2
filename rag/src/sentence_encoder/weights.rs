//! Gives BERT the tensors of a safetensors file.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use engine::quant::Format;
use engine::{EngineError, QuantizedMatrix, Weight, WeightSource};
use llama::files::safetensors::Safetensors;

use crate::RagError;
use crate::bert::WordRows;

/// The tensors of `file`, placed on `device`.
pub(crate) struct SafetensorsWeights {
    pub file: Arc<Safetensors>,
    pub device: Device,
    /// What becomes of the matrices that are multiplied; those whose rows are no whole blocks stay floats.
    pub format: Option<Format>,
}

impl SafetensorsWeights {
    /// A matrix of these values that is multiplied, in blocks where there is a format for it.
    pub fn matrix_of(&self, values: Vec<f32>, shape: [usize; 2]) -> Result<Weight, RagError> {
        match self.format.filter(|format| shape[1].is_multiple_of(format.block_len())) {
            None => Ok(self.dense(values, shape)),
            Some(format) => {
                Ok(Weight::Quantized(QuantizedMatrix::quantize(format, shape, &values, &self.device)?))
            }
        }
    }

    fn dense(&self, values: Vec<f32>, shape: [usize; 2]) -> Weight {
        Weight::Dense(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}

impl WeightSource for SafetensorsWeights {
    type Error = RagError;

    fn contains(&self, name: &str) -> bool {
        self.file.contains(name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        self.matrix_of(self.file.read(name, &shape)?, shape)
    }

    fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        Ok(self.dense(self.file.read(name, &shape)?, shape))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, RagError> {
        Ok(Tensor::from_data(TensorData::new(self.file.read(name, &[len])?, [len]), &self.device))
    }
}

/// Rows of a table in a mapped file: only the pages of words that occur are ever in memory.
#[derive(Debug)]
pub(crate) struct MappedRows {
    pub file: Arc<Safetensors>,
    pub name: String,
    pub shape: [usize; 2],
}

impl MappedRows {
    /// That the table is there, with its shape.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self) -> Result<(), RagError> {
        self.file.rows(&self.name, self.shape, [0])?;
        Ok(())
    }
}

impl WordRows for MappedRows {
    fn rows(&self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let rows = self.file.rows(&self.name, self.shape, tokens.iter().map(|&token| token as usize));
        rows.map_err(|error| EngineError::Shape { what: self.name.clone(), reason: error.to_string() })
    }
}
