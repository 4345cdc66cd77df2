//! Gives BERT the tensors of a safetensors file.

use burn::tensor::{Device, Tensor, TensorData};
use engine::{Weight, WeightSource};
use llama::files::safetensors::Safetensors;

use crate::RagError;

/// The tensors of `file`, placed on `device`.
pub(super) struct SafetensorsWeights {
    pub file: Safetensors,
    pub device: Device,
}

impl WeightSource for SafetensorsWeights {
    type Error = RagError;

    fn contains(&self, name: &str) -> bool {
        self.file.contains(name)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        let data = TensorData::new(self.file.read(name, &shape)?, shape);
        Ok(Weight::Dense(Tensor::from_data(data, &self.device)))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, RagError> {
        Ok(Tensor::from_data(TensorData::new(self.file.read(name, &[len])?, [len]), &self.device))
    }
}
