//! Reading a single f32 safetensors file.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use engine::{Weight, WeightSource};
use safetensors::{Dtype, SafeTensors};

use crate::RagError;

/// A safetensors file in memory as a source of weights.
pub(super) struct Safetensors<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    device: Device,
}

impl<'a> Safetensors<'a> {
    pub fn parse(path: &Path, bytes: &'a [u8], device: &Device) -> Result<Self, RagError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| RagError::file(path, error))?;
        Ok(Safetensors { path: path.to_path_buf(), tensors, device: device.clone() })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, RagError> {
        let bad = |reason: String| RagError::file(&self.path, reason);
        let view = self.tensors.tensor(name).map_err(|_| bad(format!("has no tensor `{name}`")))?;
        if view.shape() != shape {
            return Err(bad(format!("`{name}` has shape {:?}, expected {shape:?}", view.shape())));
        }
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!("`{name}` is {:?}; only F32 is supported", view.dtype())));
        }
        let (values, _) = view.data().as_chunks();
        Ok(TensorData::new(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), shape.to_vec()))
    }
}

impl WeightSource for Safetensors<'_> {
    type Error = RagError;

    fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, RagError> {
        Ok(Weight::Dense(Tensor::from_data(self.read(name, &shape)?, &self.device)))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, RagError> {
        Ok(Tensor::from_data(self.read(name, &[len])?, &self.device))
    }
}
