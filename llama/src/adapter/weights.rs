//! `adapter_model.safetensors`: `base_model.model.{module}.lora_A.weight` `[r, in]`,
//! `….lora_B.weight` `[out, r]` and, with DoRA, `….lora_magnitude_vector` `[out]`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use engine::{LoraConfig, LoraWeights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::whole;
use crate::error::LlamaError;
use crate::files::safetensors::Safetensors;

/// PEFT's wrapper (`base_model`) around the Hugging Face model (`model`).
const PREFIX: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";
const MAGNITUDE: &str = ".lora_magnitude_vector";

/// The projections' adapters in a file that `config` describes, whose ranks `rank_of` tells. Whole matrices must be
/// those of the model `base`.
pub(super) fn read(
    file: &Safetensors,
    config: &LoraConfig,
    rank_of: impl Fn(&str) -> usize,
    base: Option<&Path>,
    device: &Device,
) -> Result<Vec<LoraWeights>, LlamaError> {
    let mut adapters: BTreeMap<String, [Option<Tensor<2>>; 3]> = BTreeMap::new();
    for name in file.names() {
        let error = |reason: String| LlamaError::tensor(file.path(), name, reason);
        let inner = name.strip_prefix(PREFIX).unwrap_or(name);
        if let Some(original) = whole::copied(inner) {
            whole::check(file, name, original, base)?;
            continue;
        }
        let Some((part, module)) = part_of(inner) else {
            return Err(error("is not a projection's lora_A, lora_B or lora_magnitude_vector".into()));
        };
        let r = rank_of(&module);
        let found = file.shape(name).unwrap_or_default();
        let (shape, rank) = match (part, found) {
            (0 | 1, &[rows, columns]) if rows > 0 && columns > 0 => ([rows, columns], [rows, columns][part]),
            (0 | 1, _) => return Err(error(format!("has the shape {found:?}; a matrix is wanted"))),
            (_, &[out]) if out > 0 => ([1, out], r),
            _ => return Err(error(format!("has the shape {found:?}; a vector is wanted"))),
        };
        if rank != r {
            return Err(error(format!("has the shape {shape:?}, but r is {r}")));
        }
        if part == 2 && !config.use_dora {
            return Err(error("is DoRA's, but use_dora is false".into()));
        }
        let values = file.read(name, found)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(error("holds values that are not finite".into()));
        }
        let tensor = Tensor::from_data(TensorData::new(values, shape), device);
        if adapters.entry(module).or_default()[part].replace(tensor).is_some() {
            return Err(error("comes twice: the file holds more than one adapter".into()));
        }
    }
    if adapters.is_empty() {
        return Err(LlamaError::file(file.path(), "holds no tensors"));
    }
    adapters
        .into_iter()
        .map(|(module, parts)| {
            let missing =
                |part| LlamaError::tensor(file.path(), &format!("{PREFIX}{module}{part}"), "is missing");
            match parts {
                [None, ..] => Err(missing(A)),
                [_, None, _] => Err(missing(B)),
                [.., None] if config.use_dora => Err(missing(MAGNITUDE)),
                [Some(a), Some(b), magnitude] => Ok(LoraWeights { module, a, b, magnitude }),
            }
        })
        .collect()
}

/// Which part of which module's adapter a tensor is. A model that is saved as it is in memory has the adapter's own
/// name in it: `q_proj.lora_A.default.weight`.
fn part_of(name: &str) -> Option<(usize, String)> {
    let of = |(part, ending): (usize, &&str)| {
        let kind = ending.strip_suffix(".weight").unwrap_or(ending);
        let (module, rest) = name.rsplit_once(kind)?;
        let rest = rest.strip_suffix(".weight").unwrap_or(rest);
        let adapter = rest.strip_prefix('.').unwrap_or(rest);
        // A bias of B's own is `lora_bias`, which is refused.
        let is_name = rest.is_empty()
            || !adapter.is_empty() && rest.starts_with('.') && !adapter.contains('.') && adapter != "bias";
        is_name.then(|| (part, module.to_owned()))
    };
    [A, B, MAGNITUDE].iter().enumerate().find_map(of)
}

/// The bytes of a file that holds `weights` in f32.
pub(super) fn serialize(weights: &[LoraWeights]) -> Result<Vec<u8>, String> {
    let mut tensors = Vec::with_capacity(3 * weights.len());
    for LoraWeights { module, a, b, magnitude } in weights {
        let magnitude = magnitude.as_ref().map(|magnitude| (MAGNITUDE, magnitude));
        for (suffix, tensor) in [(A, a), (B, b)].into_iter().chain(magnitude) {
            let data = tensor.to_data().convert::<f32>();
            let values = data.as_slice::<f32>().map_err(|error| format!("{module}: {error:?}"))?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(format!("`{module}{suffix}` is not saved: it holds values that are not finite"));
            }
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let [rows, columns] = tensor.dims();
            let shape = if suffix == MAGNITUDE { vec![columns] } else { vec![rows, columns] };
            tensors.push((format!("{PREFIX}{module}{suffix}"), shape, bytes));
        }
    }
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(key, shape, bytes)| Ok((key.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    // PEFT refuses a file that does not say which framework it is from.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    const KEY: &str = "base_model.model.model.layers.0.self_attn.q_proj";

    fn device() -> Device {
        engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
    }

    fn read(tensors: &[(&str, Dtype, [usize; 2], &[u8])]) -> Result<Vec<LoraWeights>, LlamaError> {
        let views = tensors.iter().map(|&(suffix, dtype, shape, bytes)| {
            (format!("{KEY}{suffix}"), TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
        let config = LoraConfig { r: 1, ..LoraConfig::default() };
        super::read(&Safetensors::open(file.path()).unwrap(), &config, |_| 1, None, &device())
    }

    #[test]
    fn sixteen_bit_weights_load_as_f32() {
        let a = [1.5f32, -2.0].map(|value| f16::from_f32(value).to_le_bytes()).concat();
        let b = [0.5f32, 3.0].map(|value| bf16::from_f32(value).to_le_bytes()).concat();
        let weights = read(&[(A, Dtype::F16, [1, 2], &a), (B, Dtype::BF16, [2, 1], &b)]).unwrap();
        assert_eq!(weights[0].module, "model.layers.0.self_attn.q_proj");
        assert_eq!(weights[0].a.to_data().try_to_vec::<f32>().unwrap(), [1.5, -2.0]);
        assert_eq!(weights[0].b.to_data().try_to_vec::<f32>().unwrap(), [0.5, 3.0]);
    }

    #[test]
    fn names_may_have_the_adapters_own_in_them() {
        let q = "model.layers.0.self_attn.q_proj";
        for (name, part) in [
            ("lora_A.weight", 0),
            ("lora_A.default.weight", 0),
            ("lora_B.support.weight", 1),
            ("lora_magnitude_vector", 2),
            ("lora_magnitude_vector.default.weight", 2),
        ] {
            assert_eq!(part_of(&format!("{q}.{name}")), Some((part, q.to_owned())), "{name}");
        }
        for name in ["lora_A.a.b.weight", "lora_B.bias", "base_layer.bias", "weight", "lora_embedding_A"] {
            assert_eq!(part_of(&format!("{q}.{name}")), None, "{name}");
        }
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_named() {
        let one = 1f32.to_le_bytes();
        let two = [one, one].concat();
        let nan = f32::NAN.to_le_bytes();
        type Entry<'a> = (&'a str, Dtype, [usize; 2], &'a [u8]);
        let cases: [(&[Entry], &str); 7] = [
            (&[], "no tensors"),
            (&[(A, Dtype::F32, [1, 1], &one)], "lora_B.weight` is missing"),
            (&[(B, Dtype::F32, [1, 1], &one)], "lora_A.weight` is missing"),
            (&[(A, Dtype::F32, [2, 1], &two)], "shape [2, 1], but r is 1"),
            (&[(A, Dtype::I32, [1, 1], &one)], "I32"),
            (&[(A, Dtype::F32, [1, 1], &nan)], "not finite"),
            (
                &[(".lora_magnitude_vector", Dtype::F32, [1, 1], &one)],
                "lora_magnitude_vector` has the shape [1, 1]",
            ),
        ];
        for (tensors, reason) in cases {
            let error = read(tensors).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
