//! The tensors that are exported: a checkpoint's, with an adapter's update added to them.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use engine::device;

use crate::adapter::Adapter;
use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::gguf::Storage;
use crate::model::checkpoint::Checkpoint;
use crate::model::checkpoint::names;
use crate::model::checkpoint::stored::Stored;

/// A checkpoint and perhaps an adapter, merged tensor by tensor as they are read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) checkpoint: Checkpoint,
    pub(super) adapter: Option<Adapter>,
    pub(super) device: Device,
}

impl Source {
    pub(super) fn open(path: &Path, adapter: Option<&Path>) -> Result<Self, LlamaError> {
        let checkpoint = Checkpoint::open(path)?;
        let device = device::parse(device::AVAILABLE[0])?;
        let adapter = adapter.map(|dir| load(dir, &checkpoint, path, &device)).transpose()?;
        Ok(Self { checkpoint, adapter, device })
    }

    /// The tensors with their shapes, under Hugging Face's names.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        names::tensors(self.checkpoint.config()).collect()
    }

    /// The numbers of a tensor, with the adapter's update.
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LlamaError> {
        let values = self.checkpoint.stored(name, shape)?.values()?;
        let error = |reason: &str| LlamaError::tensor(self.checkpoint.path(), name, reason);
        let values = match (self.update(name), shape) {
            (Some((adapter, index)), &[rows, cols]) => {
                let weight = Tensor::<2>::from_data(TensorData::new(values, [rows, cols]), &self.device);
                let merged = adapter.weights[index].merged(weight, &adapter.config);
                merged.into_data().try_into_vec().map_err(|_| error("could not be merged"))?
            }
            _ => values,
        };
        match values.iter().all(|value: &f32| value.is_finite()) {
            true => Ok(values),
            false => Err(error("holds values that are not finite")),
        }
    }

    /// A tensor in the form asked for, rows in Hugging Face's order. What has that form already is not touched.
    pub(super) fn encoded(
        &self,
        name: &str,
        shape: &[usize],
        storage: Storage,
    ) -> Result<Encoded, LlamaError> {
        if self.update(name).is_none()
            && let Stored::Plain(found, bytes) = self.checkpoint.stored(name, shape)?
            && found == storage
        {
            return Ok(Encoded { bytes: bytes.to_vec(), rounded: false });
        }
        let values = self.values(name, shape)?;
        // Every block has a 16-bit scale, or two.
        let sixteen_bits = !matches!(storage, Storage::Float(Float::F32 | Float::BF16));
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        if sixteen_bits && largest > LARGEST_F16 {
            let reason = format!("holds {largest:e}, more than 16-bit numbers reach; try bf16 or f32");
            return Err(LlamaError::tensor(self.checkpoint.path(), name, reason));
        }
        let bytes = match storage {
            Storage::Float(float) => float.encode(&values),
            Storage::Blocks(format) => engine::quant::quantize(format, &values)?,
        };
        Ok(Encoded { bytes, rounded: storage != Storage::Float(Float::F32) })
    }

    /// The floating-point type that matrices have if they are not quantized.
    pub(super) fn float(&self) -> Result<Option<Float>, LlamaError> {
        let tensors = self.tensors();
        let Some((name, shape)) = tensors.iter().find(|(name, _)| names::is_projection(name)) else {
            return Ok(None);
        };
        Ok(match self.checkpoint.stored(name, shape)? {
            Stored::Plain(Storage::Float(float), _) => Some(float),
            _ => None,
        })
    }

    fn update(&self, name: &str) -> Option<(&Adapter, usize)> {
        let adapter = self.adapter.as_ref()?;
        let module = name.strip_suffix(".weight")?;
        let index = adapter.weights.iter().position(|pair| pair.module == module)?;
        Some((adapter, index))
    }
}

/// A tensor as it is written.
pub(super) struct Encoded {
    pub bytes: Vec<u8>,
    /// Whether its numbers may be others than the source's.
    pub rounded: bool,
}

const LARGEST_F16: f32 = 65504.0;

/// Reads an adapter and checks that it is the model's.
fn load(dir: &Path, checkpoint: &Checkpoint, base: &Path, device: &Device) -> Result<Adapter, LlamaError> {
    let adapter = Adapter::load_for(dir, Some(base), device)?;
    let config = checkpoint.config();
    let tensors: Vec<_> = names::tensors(config).collect();
    let unfit = |reason: String| LlamaError::file(dir, format!("does not fit the model: {reason}"));
    for pair in &adapter.weights {
        let name = format!("{}.weight", pair.module);
        let shape = tensors.iter().find(|(known, _)| *known == name && names::is_projection(known));
        let (_, shape) = shape.ok_or_else(|| unfit(format!("it has no `{}`", pair.module)))?;
        let [[_, inputs], [out, _]] = [pair.a.dims(), pair.b.dims()];
        if *shape != [out, inputs] {
            return Err(unfit(format!("`{}` is {shape:?} and the adapter's [{out}, {inputs}]", pair.module)));
        }
    }
    adapter.check_complete(config).map_err(unfit)?;
    Ok(adapter)
}
