//! A checkpoint's tensors on their way to a device.

use burn::tensor::{Device, Tensor, TensorData};
use engine::quant::Format;
use engine::{QuantizedMatrix, Weight, WeightSource};
use half::{bf16, f16};

use super::names::{gguf_name, is_projection};
use super::stored::Stored;
use super::{Checkpoint, Tensors};
use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::gguf::Storage;

/// Gives the engine a checkpoint tensor by tensor. Each is converted and placed on a device and its pages are given
/// back, so that the model is in memory once, without its file beside it.
#[derive(Debug)]
pub struct CheckpointWeights<'a> {
    checkpoint: &'a Checkpoint,
    device: Device,
    form: WeightForm,
}

/// The form that matrices take in memory. Each is converted as it is read, so that the whole model is never in memory
/// in another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightForm {
    /// Quantized ones as the file has them, the others in 32 bits.
    #[default]
    Stored,
    /// All in 32 bits, for exact arithmetic.
    F32,
    /// The decoder layers' projections in 4-bit NormalFloat with double quantization, whatever the file
    /// has, and the others in 32 bits: QLoRA's base.
    Nf4,
}

impl<'a> CheckpointWeights<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, device: &Device) -> Self {
        Self { checkpoint, device: device.clone(), form: WeightForm::default() }
    }

    /// Sets the form of the matrices.
    pub fn with_form(self, form: WeightForm) -> Self {
        Self { form, ..self }
    }
}

impl WeightSource for CheckpointWeights<'_> {
    type Error = LlamaError;

    fn contains(&self, name: &str) -> bool {
        match &self.checkpoint.tensors {
            Tensors::Gguf(gguf) => gguf_name(name).is_some_and(|name| gguf.tensor(&name).is_some()),
            Tensors::Safetensors(file) => file.contains(name),
        }
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, LlamaError> {
        let stored = self.checkpoint.stored(name, &shape)?;
        Ok(match (&stored, self.form) {
            (_, WeightForm::Nf4) if is_projection(name) => {
                let values = stored.values()?;
                Weight::Quantized(QuantizedMatrix::quantize(Format::NF4, shape, &values, &self.device)?)
            }
            (Stored::Plain(Storage::Blocks(format), bytes), WeightForm::Stored) => {
                Weight::Quantized(QuantizedMatrix::from_blocks(*format, shape, bytes, &self.device)?)
            }
            (Stored::Nf4(nf4), WeightForm::Stored) => {
                Weight::Quantized(QuantizedMatrix::from_nf4(shape, nf4, &self.device)?)
            }
            _ => {
                engine::device::check_size(name, shape[0] * shape[1] * size_of::<f32>(), &self.device)?;
                Weight::Dense(Tensor::from_data(TensorData::new(stored.values()?, shape), &self.device))
            }
        })
    }

    fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, LlamaError> {
        let stored = self.checkpoint.stored(name, &shape)?;
        let data = match &stored {
            Stored::Plain(Storage::Float(Float::F16), bytes) => {
                TensorData::new(numbers(bytes, f16::from_le_bytes), shape)
            }
            Stored::Plain(Storage::Float(Float::BF16), bytes) => {
                TensorData::new(numbers(bytes, bf16::from_le_bytes), shape)
            }
            _ => return self.matrix(name, shape),
        };
        let dtype = data.dtype();
        match self.form != WeightForm::F32 && self.device.supports_dtype(dtype) {
            true => {
                engine::device::check_size(name, data.bytes().len(), &self.device)?;
                Ok(Weight::Dense(Tensor::from_data(data, (&self.device, dtype))))
            }
            false => self.matrix(name, shape),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LlamaError> {
        let values = self.checkpoint.stored(name, &[len])?.values()?;
        Ok(Tensor::from_data(TensorData::new(values, [len]), &self.device))
    }
}

/// Little-endian numbers of 16 bits, as they are.
fn numbers<T>(bytes: &[u8], number: fn([u8; 2]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&pair| number(pair)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::DType;
    use engine::quant;

    use super::super::names;
    use super::*;
    use crate::files::gguf::sample::GgufSample;
    use crate::files::gguf::{Array, TensorType, Value};

    const Q: &str = "model.layers.0.self_attn.q_proj.weight";
    const V: &str = "model.layers.0.self_attn.v_proj.weight";
    const TABLE: &str = "model.embed_tokens.weight";
    const NORM: &str = "model.norm.weight";

    fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    /// A GGUF of a model of `width` with one head, in f32 but for the table, whose rows hold their number.
    fn sample(architecture: &str, width: usize, table: (TensorType, &[u8])) -> GgufSample {
        let size = |size: usize| Value::U32(size as u32);
        let mut sample = [
            ("block_count", size(1)),
            ("context_length", size(16)),
            ("embedding_length", size(width)),
            ("feed_forward_length", size(8)),
            ("attention.head_count", size(1)),
            ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ]
        .into_iter()
        .fold(GgufSample::new(), |sample, (key, value)| sample.with(&format!("{architecture}.{key}"), value))
        .with("general.architecture", Value::String(architecture.into()))
        .with("tokenizer.ggml.tokens", Value::Array(Array::String(vec!["a".into(); 3])))
        .tensor("token_embd.weight", table.0, &[width as u64, 3], table.1)
        .tensor(
            "output_norm.weight",
            TensorType::F32,
            &[width as u64],
            &floats((1..=width).map(|x| x as f32)),
        );
        for (name, columns, rows) in [
            ("attn_norm", width, 1),
            ("attn_q", width, width),
            ("attn_k", width, width),
            ("attn_v", width, width),
            ("attn_output", width, width),
            ("ffn_norm", width, 1),
            ("ffn_gate", width, 8),
            ("ffn_up", width, 8),
            ("ffn_down", 8, width),
        ] {
            // Rows that hold their number in Hugging Face's order are interleaved: 0, width / 2, 1, ….
            let numbers = (0..rows).flat_map(|row| {
                let number = (row % 2) * (rows / 2) + row / 2;
                std::iter::repeat_n(number as f32, columns)
            });
            let dimensions: &[u64] =
                if rows == 1 { &[columns as u64] } else { &[columns as u64, rows as u64] };
            sample =
                sample.tensor(&format!("blk.0.{name}.weight"), TensorType::F32, dimensions, &floats(numbers));
        }
        sample
    }

    /// A model of width 4.
    fn small() -> GgufSample {
        sample("llama", 4, (TensorType::F32, &floats([0.5; 12])))
    }

    fn open(dir: &Path, sample: GgufSample) -> Checkpoint {
        let path = dir.join("model.gguf");
        std::fs::write(&path, sample.bytes()).unwrap();
        Checkpoint::open(dir).unwrap()
    }

    fn values(weight: Weight) -> Vec<f32> {
        match weight {
            Weight::Dense(tensor) => tensor.into_data().try_to_vec().unwrap(),
            Weight::Quantized(_) => panic!("quantized"),
        }
    }

    fn device() -> Device {
        engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
    }

    fn repeated(rows: [f32; 4]) -> Vec<f32> {
        rows.into_iter().flat_map(|row| [row; 4]).collect()
    }

    #[test]
    fn gguf_tensors_have_hugging_faces_names_and_order() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = open(dir.path(), small());
        assert!(!checkpoint.is_quantized());
        assert!(checkpoint.config().tie_word_embeddings);
        let mut weights = checkpoint.weights(&device());
        assert!(weights.contains(Q) && weights.contains(NORM));
        assert!(!weights.contains("lm_head.weight") && !weights.contains("blk.0.attn_q.weight"));
        assert_eq!(values(weights.matrix(V, [4, 4]).unwrap()), repeated([0.0, 2.0, 1.0, 3.0]));
        assert_eq!(values(weights.matrix(Q, [4, 4]).unwrap()), repeated([0.0, 1.0, 2.0, 3.0]));
        let norm = weights.vector(NORM, 4).unwrap();
        assert_eq!(norm.into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn rows_of_a_qwen2_are_in_order_and_a_bias_moves_with_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let biases = |sample: GgufSample, names: &[&str]| {
            names.iter().fold(sample, |sample, name| {
                let bias = floats([0.0, 2.0, 1.0, 3.0]);
                sample.tensor(&format!("blk.0.{name}.bias"), TensorType::F32, &[4], &bias)
            })
        };
        let table = (TensorType::F32, floats([0.5; 12]));
        let qwen2 = biases(sample("qwen2", 4, (table.0, &table.1)), &["attn_q", "attn_k", "attn_v"]);
        let llama = biases(small(), &["attn_q", "attn_k", "attn_v", "attn_output"]);
        let read = |sample| {
            let checkpoint = open(dir.path(), sample);
            let mut weights = checkpoint.weights(&device());
            let bias = weights.vector(&Q.replace("weight", "bias"), 4).unwrap();
            (values(weights.matrix(Q, [4, 4]).unwrap()), bias.into_data().try_to_vec::<f32>().unwrap())
        };
        assert_eq!(read(qwen2), (repeated([0.0, 2.0, 1.0, 3.0]), vec![0.0, 2.0, 1.0, 3.0]));
        assert_eq!(read(llama), (repeated([0.0, 1.0, 2.0, 3.0]), vec![0.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = open(dir.path(), small());
        let mut weights = checkpoint.weights(&device());
        for (name, shape, reason) in [
            (Q, [2, 4], "tensor `blk.0.attn_q.weight` has the shape [4, 4], expected [2, 4]"),
            (NORM, [1, 4], "tensor `output_norm.weight` has the shape [4], expected [1, 4]"),
            ("lm_head.weight", [3, 4], "tensor `output.weight` is missing"),
            ("model.other", [3, 4], "tensor `model.other` is missing"),
        ] {
            let error = weights.matrix(name, shape).unwrap_err().to_string();
            assert!(error.contains("model.gguf: ") && error.contains(reason), "{error}");
        }
        assert!(weights.vector(NORM, 5).unwrap_err().to_string().contains("[4], expected [5]"));
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, sample("llama", 256, (TensorType::from_id(10).unwrap(), &[0; 3 * 84])).bytes())
            .unwrap();
        let error = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(error.contains("`token_embd.weight` has the type Q2_K, which cannot"), "{error}");
    }

    #[test]
    fn the_form_is_chosen_as_tensors_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let numbers: Vec<f32> = (0..192).map(|value| value as f32).collect();
        let q8_0 = TensorType::from_id(8).unwrap();
        let blocks = quant::quantize(Format::Q8_0, &numbers).unwrap();
        let checkpoint = open(dir.path(), sample("llama", 64, (q8_0, &blocks)));
        assert!(checkpoint.is_quantized());
        let read = |form, name: &str, shape| {
            checkpoint.weights(&device()).with_form(form).matrix(name, shape).unwrap()
        };
        match read(WeightForm::Stored, TABLE, [3, 64]) {
            Weight::Quantized(matrix) => {
                assert_eq!((matrix.shape(), matrix.format()), ([3, 64], Format::Q8_0))
            }
            Weight::Dense(_) => panic!("dense"),
        }
        for form in [WeightForm::F32, WeightForm::Nf4] {
            let expected = quant::dequantize(Format::Q8_0, &blocks).unwrap();
            assert_eq!(values(read(form, TABLE, [3, 64])), expected, "{form:?}");
        }
        // The same bits as of a matrix that is quantized after it was loaded.
        let loaded = values(read(WeightForm::Stored, Q, [64, 64]));
        let expected = QuantizedMatrix::quantize(Format::NF4, [64, 64], &loaded, &device()).unwrap();
        let Weight::Quantized(found) = read(WeightForm::Nf4, Q, [64, 64]) else { panic!("dense") };
        assert_eq!(found.to_nf4(), expected.to_nf4());
        // A matrix with rows of no whole blocks has no such form.
        let unsuited = checkpoint.weights(&device()).with_form(WeightForm::Nf4);
        let error = { unsuited }.matrix("model.layers.0.mlp.down_proj.weight", [64, 8]).unwrap_err();
        assert!(matches!(error, LlamaError::Engine(_)), "{error}");
    }

    #[test]
    fn safetensors_are_read_as_they_are() {
        use ::safetensors::tensor::{Dtype, TensorView};

        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 3, "hidden_size": 4,
            "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
        });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let (_, read) = crate::model::config::from_json(&dir.path().join("config.json")).unwrap();
        // The table in bf16; the queries' rows hold their number, all else is 1.
        let tensors: Vec<_> = names::tensors(&read)
            .map(|(name, shape)| {
                let len = shape.iter().product();
                match name.as_str() {
                    Q => (name, Dtype::F32, shape, floats(repeated([0.0, 1.0, 2.0, 3.0]))),
                    TABLE => (name, Dtype::BF16, shape, Float::BF16.encode(&vec![1.5; len])),
                    _ => (name, Dtype::F32, shape, floats(vec![1.0; len])),
                }
            })
            .collect();
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let file = dir.path().join("model.safetensors");
        ::safetensors::serialize_to_file(views, None, &file).unwrap();
        for path in [dir.path(), &file] {
            let checkpoint = Checkpoint::open(path).unwrap();
            assert!(checkpoint.gguf().is_none() && !checkpoint.is_quantized());
            let mut weights = checkpoint.weights(&device());
            assert!(weights.contains(Q) && !weights.contains("model.other"));
            assert_eq!(values(weights.matrix(Q, [4, 4]).unwrap()), repeated([0.0, 1.0, 2.0, 3.0]));
            assert!(weights.vector(NORM, 4).is_ok());
            let error = weights.matrix("model.other", [4, 4]).unwrap_err().to_string();
            assert!(error.contains("model.safetensors: tensor `model.other` is missing"), "{error}");
            // 16 bits stay 16 bits where rows are only looked up.
            let dtypes = [WeightForm::Stored, WeightForm::Nf4, WeightForm::F32].map(|form| {
                let mut weights = checkpoint.weights(&device()).with_form(form);
                let Weight::Dense(table) = weights.table(TABLE, [3, 4]).unwrap() else { panic!("quantized") };
                assert_eq!(values(Weight::Dense(table.clone().cast(DType::F32))), [1.5; 12]);
                table.dtype()
            });
            assert_eq!(dtypes, [DType::BF16, DType::BF16, DType::F32]);
        }
    }

    /// The same model as safetensors (half-split rotary order) and as GGUF (interleaved) is the same.
    #[test]
    fn a_real_model_is_the_same_in_both_formats() {
        let Some(data) = std::env::var_os("CONFORMANCE_DATA") else {
            eprintln!("skipped: CONFORMANCE_DATA is not set");
            return;
        };
        let dir = Path::new(&data).join("stories260K");
        let expected = Checkpoint::open(&dir.join("hf")).unwrap();
        let Tensors::Safetensors(file) = &expected.tensors else { panic!("not safetensors") };
        for (name, tolerance) in [("stories260K-f32.gguf", 0.0), ("stories260K-f16.gguf", 1e-3)] {
            let checkpoint = Checkpoint::open(&dir.join(name)).unwrap();
            assert_eq!(checkpoint.config(), expected.config());
            let (mut weights, mut expected) = (checkpoint.weights(&device()), expected.weights(&device()));
            for name in file.names() {
                let (found, expected): (Vec<f32>, Vec<f32>) = match file.shape(name).unwrap() {
                    &[len] => (
                        weights.vector(name, len).unwrap().into_data().try_to_vec().unwrap(),
                        expected.vector(name, len).unwrap().into_data().try_to_vec().unwrap(),
                    ),
                    &[rows, cols] => (
                        values(weights.matrix(name, [rows, cols]).unwrap()),
                        values(expected.matrix(name, [rows, cols]).unwrap()),
                    ),
                    other => panic!("{name}: {other:?}"),
                };
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1e-3);
                assert!(found.len() == expected.len() && found.iter().zip(&expected).all(close), "{name}");
            }
        }
    }
}
