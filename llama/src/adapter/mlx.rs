//! Adapters of Apple's MLX (`mlx_lm.lora`): `adapter_config.json` with `lora_parameters`, and `adapters.safetensors` with
//! `{module}.lora_a` `[in, r]` and `{module}.lora_b` `[r, out]`, the transposes of PEFT's.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use engine::{LoraConfig, LoraWeights};
use serde_json::{Map, Value};

use crate::error::LlamaError;
use crate::files::safetensors::Safetensors;

/// MLX's name for the weights' file.
const WEIGHTS_FILE: &str = "adapters.safetensors";

/// Whether the fields of an adapter_config.json are MLX's.
pub(super) fn is_config(fields: &Map<String, Value>) -> bool {
    fields.contains_key("lora_parameters") && !fields.contains_key("peft_type")
}

/// What adapter_config.json says; each adapted projection's whole name is a target.
pub(super) fn config(fields: &Map<String, Value>) -> Result<LoraConfig, String> {
    match fields.get("fine_tune_type") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "lora" => {}
        Some(other) => return Err(format!("fine_tune_type is {other}; of MLX's only \"lora\" is supported")),
    }
    let parameter = |name: &str| fields["lora_parameters"].get(name).and_then(Value::as_f64);
    let wanted =
        |name: &str| parameter(name).ok_or_else(|| format!("lora_parameters has no number `{name}`"));
    let (rank, scale) = (wanted("rank")?, wanted("scale")?);
    let dropout = parameter("dropout").unwrap_or(0.0);
    if rank < 1.0 || rank.fract() != 0.0 || !scale.is_finite() || !(0.0..1.0).contains(&dropout) {
        return Err("lora_parameters has a rank, scale or dropout that no adapter can have".into());
    }
    // MLX multiplies by `scale` itself.
    let (r, lora_alpha) = (rank as usize, (scale * rank) as f32);
    Ok(LoraConfig { r, lora_alpha, lora_dropout: dropout as f32, ..LoraConfig::default() })
}

/// The projections' adapters in the folder `dir`.
pub(super) fn weights(
    dir: &Path,
    config: &LoraConfig,
    device: &Device,
) -> Result<Vec<LoraWeights>, LlamaError> {
    let file = Safetensors::open(&dir.join(WEIGHTS_FILE))?;
    let mut parts: BTreeMap<&str, [Option<Tensor<2>>; 2]> = BTreeMap::new();
    for name in file.names() {
        let error = |reason: String| LlamaError::tensor(file.path(), name, reason);
        let endings = [".lora_a", ".lora_b"];
        let ending = |(part, ending): (usize, &&str)| Some((part, name.strip_suffix(*ending)?));
        let Some((part, module)) = endings.iter().enumerate().find_map(ending) else {
            return Err(error("is not a projection's lora_a or lora_b".into()));
        };
        let found = file.shape(name).unwrap_or_default();
        let &[rows, columns] = found else {
            return Err(error(format!("has the shape {found:?}; a matrix is wanted")));
        };
        if [columns, rows][part] != config.r {
            return Err(error(format!("has the shape {found:?}, but the rank is {}", config.r)));
        }
        let values = file.read(name, found)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(error("holds values that are not finite".into()));
        }
        let matrix = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device);
        parts.entry(module).or_default()[part] = Some(matrix.transpose());
    }
    let pair = |(module, parts): (&str, [Option<Tensor<2>>; 2])| match parts {
        [Some(a), Some(b)] => Ok(LoraWeights { module: module.into(), a, b, magnitude: None }),
        [None, _] => Err(LlamaError::tensor(file.path(), &format!("{module}.lora_a"), "is missing")),
        [_, None] => Err(LlamaError::tensor(file.path(), &format!("{module}.lora_b"), "is missing")),
    };
    let weights: Vec<LoraWeights> = parts.into_iter().map(pair).collect::<Result<_, _>>()?;
    match weights.is_empty() {
        true => Err(LlamaError::file(file.path(), "holds no tensors")),
        false => Ok(weights),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use serde_json::json;

    use crate::adapter::Adapter;

    #[test]
    fn matrices_are_transposed_and_the_scale_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let device = engine::device::parse(engine::device::AVAILABLE[0]).unwrap();
        let module = "model.layers.1.self_attn.q_proj";
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (a, b) = (bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), bytes(&[7.0, 8.0]));
        let write = |names: [&str; 2]| {
            let views =
                [(&a, vec![3, 2]), (&b, vec![2, 1])].into_iter().zip(names).map(|((bytes, shape), name)| {
                    (format!("{module}.{name}"), TensorView::new(Dtype::F32, shape, bytes).unwrap())
                });
            let file = safetensors::serialize(views, None).unwrap();
            fs::write(dir.path().join(super::WEIGHTS_FILE), file).unwrap();
        };
        let configure = |config: serde_json::Value| {
            fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
        };
        let parameters = json!({"rank": 2, "scale": 20.0, "dropout": 0.1, "keys": ["self_attn.q_proj"]});
        configure(json!({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}));
        write(["lora_a", "lora_b"]);
        let adapter = Adapter::load(dir.path(), &device).unwrap();
        assert_eq!((adapter.config.r, adapter.config.scale()), (2, 20.0));
        assert_eq!(adapter.config.target_modules, [module]);
        let values = |tensor: &burn::tensor::Tensor<2>| tensor.to_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values(&adapter.weights[0].a), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!((adapter.weights[0].b.dims(), values(&adapter.weights[0].b)), ([1, 2], vec![7.0, 8.0]));

        let error = || Adapter::load(dir.path(), &device).unwrap_err().to_string();
        write(["lora_a", "m"]);
        assert!(error().contains("q_proj.m` is not a projection's lora_a or lora_b"), "{}", error());
        configure(json!({"fine_tune_type": "dora", "lora_parameters": {"rank": 2, "scale": 1.0}}));
        assert!(error().contains("fine_tune_type is \"dora\""), "{}", error());
        configure(json!({"lora_parameters": {"rank": 2}}));
        assert!(error().contains("lora_parameters has no number `scale`"), "{}", error());
    }
}
