//! What a checkpoint's files hold, against what its configuration says.

use std::collections::HashSet;

use super::names::{self, gguf_name};
use super::{Checkpoint, Tensors};
use crate::error::LlamaError;
use crate::model::config::ROPE_FACTORS;

impl Checkpoint {
    /// Checks that every tensor of the model is there with its shape, and that there is none of another
    /// model: a layer more, a bias or a norm that would not be applied. It ends at the first tensor that is
    /// missing, so its cost is bounded by the files, whatever number of layers the configuration names.
    ///
    /// # Errors
    /// The tensor that is missing, has another shape, or is of another model.
    pub(super) fn check(&self) -> Result<(), LlamaError> {
        let mut known = HashSet::new();
        for (name, shape) in names::tensors(&self.config) {
            self.check_stored(&name, &shape).map_err(|error| match error {
                LlamaError::Tensor { path, name, reason } if name.ends_with(".bias") => {
                    let said =
                        "the configuration (`attention_bias`, `mlp_bias` or the architecture) has this bias";
                    LlamaError::Tensor { path, name, reason: format!("{reason}, but {said}") }
                }
                other => other,
            })?;
            known.insert(name);
        }
        let class = self.architecture.class();
        let foreign = |name: &str| {
            let layers = self.config.num_hidden_layers;
            let reason = format!("is not of a {class} of {layers} layers, as its configuration describes");
            Err(LlamaError::tensor(self.path(), name, reason))
        };
        match &self.tensors {
            Tensors::Gguf(gguf) => {
                let known: HashSet<String> = known.iter().filter_map(|name| gguf_name(name)).collect();
                let is_known = |name: &str| known.contains(name) || name == ROPE_FACTORS || is_table(name);
                gguf.tensors().map(|(name, _)| name).find(|name| !is_known(name)).map_or(Ok(()), foreign)
            }
            Tensors::Safetensors(file) => {
                // A quantized matrix is several tensors: `weight`, `weight.absmax`, ….
                let is_part =
                    |name: &str| name.match_indices('.').any(|(end, _)| known.contains(&name[..end]));
                let is_known = |name: &str| known.contains(name) || is_table(name) || is_part(name);
                // Names outside the model are those of heads that text generation does not use.
                let is_inside = |name: &str| name.starts_with("model.");
                file.names().find(|name| is_inside(name) && !is_known(name)).map_or(Ok(()), foreign)
            }
        }
    }
}

/// Whether a tensor is a table of rotary frequencies, which are computed from the configuration instead.
fn is_table(name: &str) -> bool {
    [".rotary_emb.inv_freq", ".attn_rot_embd.weight"].iter().any(|table| name.ends_with(table))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ::safetensors::tensor::{Dtype, TensorView};
    use serde_json::{Value, json};

    use super::*;
    use crate::files::gguf::TensorType;
    use crate::files::gguf::sample::GgufSample;

    fn config() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 3, "hidden_size": 4,
            "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1,
        })
    }

    /// Writes a folder whose file has the tensors of [`config`] and `more`, and whose config.json has
    /// `changes`.
    fn open(dir: &Path, changes: Value, more: &[&str]) -> Result<Checkpoint, String> {
        let path = dir.join("config.json");
        let mut fields = config();
        std::fs::write(&path, fields.to_string()).unwrap();
        let (_, described) = crate::model::config::from_json(&path).unwrap();
        let more = more.iter().map(|name| (name.to_string(), vec![4]));
        let tensors: Vec<_> = names::tensors(&described)
            .chain(more)
            .map(|(name, shape)| (name, vec![0u8; 4 * shape.iter().product::<usize>()], shape))
            .collect();
        let views = tensors
            .iter()
            .map(|(name, bytes, shape)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        ::safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        std::fs::write(&path, fields.to_string()).unwrap();
        Checkpoint::open(dir).map_err(|error| error.to_string())
    }

    /// Sizes that no machine has the memory for end at the first tensor that the file does not hold.
    #[test]
    fn a_configuration_of_any_size_is_held_against_the_file_first() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path(), json!({}), &[]).is_ok());
        let huge = 1 << 28;
        for (changes, reason) in [
            (json!({ "num_hidden_layers": huge }), "`model.layers.2.input_layernorm.weight` is missing"),
            (json!({ "vocab_size": huge }), "has the shape [3, 4], expected [268435456, 4]"),
            (json!({ "head_dim": huge }), "q_proj.weight` has the shape [4, 4], expected [268435456, 4]"),
            (
                json!({ "intermediate_size": huge }),
                "gate_proj.weight` has the shape [8, 4], expected [268435456",
            ),
            (json!({ "num_attention_heads": huge, "head_dim": 4 }), "expected [1073741824, 4]"),
            (json!({ "hidden_size": huge, "head_dim": 4 }), "expected [3, 268435456]"),
            (json!({ "num_hidden_layers": huge + 1 }), "`num_hidden_layers` is 268435457, larger than any"),
        ] {
            let error = open(dir.path(), changes.clone(), &[]).unwrap_err();
            assert!(error.contains(reason), "{changes}: {error}");
        }
    }

    #[test]
    fn a_gguf_of_any_size_is_held_against_its_tensors_first() {
        use crate::files::gguf::Value;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let sample = |layers, vocab| {
            [
                ("block_count", layers),
                ("context_length", 16),
                ("embedding_length", 4),
                ("feed_forward_length", 8),
                ("attention.head_count", 1),
                ("vocab_size", vocab),
            ]
            .into_iter()
            .fold(GgufSample::new(), |sample, (key, size)| {
                sample.with(&format!("llama.{key}"), Value::U32(size))
            })
            .with("general.architecture", Value::String("llama".into()))
            .with("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))
            .tensor("token_embd.weight", TensorType::F32, &[4, 3], &[0; 48])
        };
        for (sample, reason) in [
            (sample(1 << 28, 3), "tensor `blk.0.attn_norm.weight` is missing"),
            (sample(1, 1 << 28), "`token_embd.weight` has the shape [3, 4], expected [268435456, 4]"),
        ] {
            std::fs::write(&path, sample.bytes()).unwrap();
            let error = Checkpoint::open(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_tensor_of_another_model_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.1.self_attn.q_norm.weight",
            "model.layers.2.input_layernorm.weight",
            "model.norm.bias",
        ] {
            let error = open(dir.path(), json!({}), &[name]).unwrap_err();
            assert!(error.contains(&format!("`{name}` is not of a LlamaForCausalLM of 2 layers")), "{error}");
        }
        // What old releases of transformers wrote, and heads that no text is generated with.
        let harmless = ["model.layers.0.self_attn.rotary_emb.inv_freq", "v_head.weight"];
        assert!(open(dir.path(), json!({}), &harmless).is_ok());
        let error = open(dir.path(), json!({ "num_hidden_layers": 1 }), &[]).unwrap_err();
        assert!(error.contains("`model.layers.1.") && error.contains("of 1 layers"), "{error}");
        let error = open(dir.path(), json!({ "attention_bias": true }), &[]).unwrap_err();
        let reason =
            "`model.layers.0.self_attn.q_proj.bias` is missing, but the configuration (`attention_bias`";
        assert!(error.contains(reason), "{error}");
    }
}
