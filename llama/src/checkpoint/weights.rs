//! A checkpoint's tensors on their way to a device.

use burn::tensor::{Device, Tensor, TensorData};
use engine::QuantizedMatrix;
use engine::{Weight, WeightSource};

use super::names::gguf_name;
use super::stored::Stored;
use super::{Checkpoint, Tensors};
use crate::LlamaError;
use crate::gguf::Storage;

/// A checkpoint as the engine reads it: tensor by tensor, converted, placed on a device, and its
/// pages given back, so that memory holds the model once and never the file beside it.
#[derive(Debug)]
pub struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    device: Device,
    dequantized: bool,
}

impl<'a> Weights<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, device: &Device) -> Self {
        Self { checkpoint, device: device.clone(), dequantized: false }
    }

    /// Whether block-quantized matrices are to be turned into f32, for exact arithmetic or to be
    /// trained on. They stay quantized otherwise.
    pub fn dequantized(self, dequantized: bool) -> Self {
        Self { dequantized, ..self }
    }
}

impl WeightSource for Weights<'_> {
    type Error = LlamaError;

    fn contains(&self, name: &str) -> bool {
        match &self.checkpoint.tensors {
            Tensors::Gguf(gguf) => gguf_name(name).is_some_and(|name| gguf.tensor(&name).is_some()),
            Tensors::Safetensors(file) => file.contains(name),
        }
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, LlamaError> {
        let stored = self.checkpoint.stored(name, &shape)?;
        Ok(match &stored {
            Stored::Plain(Storage::Blocks(format), bytes) if !self.dequantized => {
                Weight::Quantized(QuantizedMatrix::from_blocks(*format, shape, bytes, &self.device)?)
            }
            Stored::Nf4(nf4) if !self.dequantized => {
                Weight::Quantized(QuantizedMatrix::from_nf4(shape, nf4, &self.device)?)
            }
            _ => Weight::Dense(Tensor::from_data(TensorData::new(stored.values()?, shape), &self.device)),
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, LlamaError> {
        let values = self.checkpoint.stored(name, &[len])?.values()?;
        Ok(Tensor::from_data(TensorData::new(values, [len]), &self.device))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use engine::quant::{self, Format};

    use super::*;
    use crate::gguf::sample::GgufSample;
    use crate::gguf::{Array, TensorType, Value};

    const Q: &str = "model.layers.0.self_attn.q_proj.weight";
    const V: &str = "model.layers.0.self_attn.v_proj.weight";
    const NORM: &str = "model.norm.weight";

    fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    /// A GGUF of a model of width 4 with one head, and some of its tensors.
    fn small() -> GgufSample {
        let rows = || floats([0, 2, 1, 3].into_iter().flat_map(|row| [row as f32; 4]));
        GgufSample::new()
            .with("general.architecture", Value::String("llama".into()))
            .with("llama.block_count", Value::U32(1))
            .with("llama.context_length", Value::U32(16))
            .with("llama.embedding_length", Value::U32(4))
            .with("llama.feed_forward_length", Value::U32(8))
            .with("llama.attention.head_count", Value::U32(1))
            .with("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))
            .with("tokenizer.ggml.tokens", Value::Array(Array::String(vec!["a".into(); 3])))
            .tensor("output_norm.weight", TensorType::F32, &[4], &floats([1.0, 2.0, 3.0, 4.0]))
            .tensor("blk.0.attn_q.weight", TensorType::F32, &[4, 4], &rows())
            .tensor("blk.0.attn_v.weight", TensorType::F32, &[4, 4], &rows())
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
    fn a_tensor_that_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let q2_k = TensorType::from_id(10).unwrap();
        let sample = small().tensor("token_embd.weight", q2_k, &[256, 3], &[0; 3 * 84]);
        let checkpoint = open(dir.path(), sample);
        assert!(checkpoint.is_quantized());
        let mut weights = checkpoint.weights(&device());
        for (name, shape, reason) in [
            (Q, [2, 4], "tensor `blk.0.attn_q.weight` has the shape [4, 4], expected [2, 4]"),
            (NORM, [1, 4], "tensor `output_norm.weight` has the shape [4], expected [1, 4]"),
            ("lm_head.weight", [3, 4], "tensor `output.weight` is missing"),
            ("model.other", [3, 4], "tensor `model.other` is missing"),
            ("model.embed_tokens.weight", [3, 256], "`token_embd.weight` has the type Q2_K, which cannot"),
        ] {
            let error = weights.matrix(name, shape).unwrap_err().to_string();
            assert!(error.contains("model.gguf: ") && error.contains(reason), "{error}");
        }
        assert!(weights.vector(NORM, 5).unwrap_err().to_string().contains("[4], expected [5]"));
    }

    #[test]
    fn quantized_tensors_stay_quantized_unless_asked() {
        let dir = tempfile::tempdir().unwrap();
        let numbers: Vec<f32> = (0..96).map(|value| value as f32).collect();
        let q8_0 = TensorType::from_id(8).unwrap();
        let blocks = quant::quantize(Format::Q8_0, &numbers).unwrap();
        let checkpoint = open(dir.path(), small().tensor("token_embd.weight", q8_0, &[32, 3], &blocks));
        let name = "model.embed_tokens.weight";
        match checkpoint.weights(&device()).matrix(name, [3, 32]).unwrap() {
            Weight::Quantized(matrix) => assert_eq!(matrix.shape(), [3, 32]),
            Weight::Dense(_) => panic!("dense"),
        }
        let dense = checkpoint.weights(&device()).dequantized(true).matrix(name, [3, 32]).unwrap();
        assert_eq!(values(dense), quant::dequantize(Format::Q8_0, &blocks).unwrap());
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
        let (q, norm) = (floats(repeated([0.0, 1.0, 2.0, 3.0])), floats([1.0; 4]));
        let views = [(Q, [4, 4].as_slice(), &q), (NORM, &[4], &norm)]
            .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
        let file = dir.path().join("model.safetensors");
        ::safetensors::serialize_to_file(views, None, &file).unwrap();
        for path in [dir.path(), &file] {
            let checkpoint = Checkpoint::open(path).unwrap();
            assert!(checkpoint.gguf().is_none() && !checkpoint.is_quantized());
            let mut weights = checkpoint.weights(&device());
            assert!(weights.contains(Q) && !weights.contains(V));
            assert_eq!(values(weights.matrix(Q, [4, 4]).unwrap()), repeated([0.0, 1.0, 2.0, 3.0]));
            assert!(weights.vector(NORM, 4).is_ok());
            let error = weights.matrix(V, [4, 4]).unwrap_err().to_string();
            assert!(
                error.contains(
                    "model.safetensors: tensor `model.layers.0.self_attn.v_proj.weight` is missing"
                )
            );
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
