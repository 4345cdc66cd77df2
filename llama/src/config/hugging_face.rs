//! `config.json` of Hugging Face's transformers.

use std::path::Path;

use engine::{LlamaConfig, RopeScaling};
use serde::{Deserialize, Deserializer};

use super::{checked, checked_factor};
use crate::LlamaError;

/// The fields that matter to a Llama or Mistral model. Absent and `null` mean transformers' default,
/// except where noted.
#[derive(Debug, Deserialize)]
struct ConfigJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeJson>,
    /// Since transformers 5, instead of `rope_theta` and `rope_scaling`.
    rope_parameters: Option<RopeJson>,
    tie_word_embeddings: Option<bool>,
    /// Absent is Mistral's default, `null` is no window.
    #[serde(default, deserialize_with = "present")]
    sliding_window: Option<Option<usize>>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    quantization_config: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct RopeJson {
    /// `type` before transformers 4.43; files of that time may have both.
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Transformers' default where a Mistral's `config.json` does not say.
const MISTRAL_SLIDING_WINDOW: usize = 4096;

/// Reads the `config.json` of a LlamaForCausalLM or MistralForCausalLM.
///
/// # Errors
/// If the file cannot be read, or describes a model that the engine cannot run.
pub fn from_json(path: &Path) -> Result<LlamaConfig, LlamaError> {
    let text = std::fs::read(path).map_err(LlamaError::io(path))?;
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| LlamaError::file(path, error.to_string()))?;
    // The architecture comes first: another model's file lacks fields, which is not its mistake.
    let mistral = is_mistral(&json, path)?;
    let json = ConfigJson::deserialize(json).map_err(|error| LlamaError::file(path, error.to_string()))?;
    json.refuse_what_the_engine_lacks(path)?;

    let config = LlamaConfig {
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_hidden_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
        head_dim: match json.head_dim {
            Some(head_dim) => head_dim,
            None => json.hidden_size.checked_div(json.num_attention_heads).unwrap_or(0),
        },
        max_position_embeddings: json.max_position_embeddings.unwrap_or(if mistral { 131_072 } else { 2048 }),
        rms_norm_eps: json.rms_norm_eps.unwrap_or(1e-6) as f32,
        rope_theta: json.rope_theta() as f32,
        rope_scaling: json.rope_scaling(path)?,
        sliding_window: match json.sliding_window {
            _ if !mistral => None,
            None => Some(MISTRAL_SLIDING_WINDOW),
            Some(window) => window.filter(|&window| window > 0),
        },
        tie_word_embeddings: json.tie_word_embeddings.unwrap_or(false),
    };
    checked(config, path)
}

/// Whether the model is a Mistral, and not a Llama.
fn is_mistral(json: &serde_json::Value, path: &Path) -> Result<bool, LlamaError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        architectures: Option<Vec<String>>,
        model_type: Option<String>,
    }
    let kind = Kind::deserialize(json).map_err(|error| LlamaError::file(path, error.to_string()))?;
    let architecture = kind.architectures.unwrap_or_default().into_iter().next();
    match (architecture.as_deref(), kind.model_type.as_deref()) {
        (Some("LlamaForCausalLM"), _) | (None, Some("llama")) => Ok(false),
        (Some("MistralForCausalLM"), _) | (None, Some("mistral")) => Ok(true),
        (Some(other), _) | (None, Some(other)) => Err(LlamaError::config(
            path,
            "architectures",
            format!("is {other}; LlamaForCausalLM and MistralForCausalLM are supported"),
        )),
        (None, None) => Err(LlamaError::config(path, "architectures", "is missing")),
    }
}

impl ConfigJson {
    fn refuse_what_the_engine_lacks(&self, path: &Path) -> Result<(), LlamaError> {
        let refuse = |field: &str, reason: String| Err(LlamaError::config(path, field, reason));
        for (field, bias) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if bias == Some(true) {
                return refuse(field, "is true; projections with a bias are not supported".into());
            }
        }
        if let Some(activation) = self.hidden_act.as_deref().filter(|name| !["silu", "swish"].contains(name))
        {
            return refuse("hidden_act", format!("is {activation}; only silu is supported"));
        }
        if let Some(quantization) = self.quantization_config.as_ref().filter(|value| !value.is_null()) {
            let text =
                |field: &str| quantization.get(field).and_then(|value| value.as_str()).unwrap_or("unknown");
            let method = match text("quant_method") {
                "bitsandbytes" if text("bnb_4bit_quant_type") == "nf4" => return Ok(()),
                "bitsandbytes" => "bitsandbytes without nf4",
                other => other,
            };
            return refuse(
                "quantization_config",
                format!("has the method {method}, which is not supported; use the 16-bit files or a GGUF"),
            );
        }
        Ok(())
    }

    fn rope_theta(&self) -> f64 {
        let inside = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        inside.or(self.rope_theta).unwrap_or(10_000.0)
    }

    fn rope_scaling(&self, path: &Path) -> Result<RopeScaling, LlamaError> {
        let (field, rope) = match (&self.rope_parameters, &self.rope_scaling) {
            (Some(rope), _) => ("rope_parameters", rope),
            (None, Some(rope)) => ("rope_scaling", rope),
            (None, None) => return Ok(RopeScaling::None),
        };
        if rope.partial_rotary_factor.is_some_and(|part| part != 1.0) {
            return Err(LlamaError::config(path, "partial_rotary_factor", "is not 1; this is not supported"));
        }
        let missing = |name| LlamaError::config(path, field, format!("lacks `{name}`"));
        let factor =
            |value: Option<f64>, name| checked_factor(value.ok_or_else(|| missing(name))?, path, field);
        match rope.rope_type.as_deref().or(rope.old_type.as_deref()) {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: factor(rope.factor, "factor")? }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: factor(rope.factor, "factor")?,
                low_freq_factor: factor(rope.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: factor(rope.high_freq_factor, "high_freq_factor")?,
                original_max_position_embeddings: rope
                    .original_max_position_embeddings
                    .ok_or_else(|| missing("original_max_position_embeddings"))?,
            }),
            Some(other) => Err(LlamaError::config(
                path,
                field,
                format!("has the type {other}; default, linear and llama3 are supported"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The configuration read from a small model's file with `changes` applied.
    fn read(changes: Value) -> Result<LlamaConfig, String> {
        let mut text = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": 512,
            "hidden_size": 64,
            "intermediate_size": 172,
            "num_hidden_layers": 5,
            "num_attention_heads": 8,
        });
        text.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text.to_string()).unwrap();
        from_json(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn absent_fields_have_the_defaults_of_transformers() {
        let config = read(json!({ "head_dim": null, "sliding_window": 100 })).unwrap();
        let expected = LlamaConfig {
            vocab_size: 512,
            hidden_size: 64,
            intermediate_size: 172,
            num_hidden_layers: 5,
            num_attention_heads: 8,
            num_key_value_heads: 8,
            head_dim: 8,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            sliding_window: None,
            tie_word_embeddings: false,
        };
        assert_eq!(config, expected);
        let config = read(json!({
            "num_key_value_heads": 4, "head_dim": 16, "rope_theta": 500_000, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": true, "max_position_embeddings": 8192,
        }));
        let expected = LlamaConfig {
            num_key_value_heads: 4,
            head_dim: 16,
            rope_theta: 500_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            max_position_embeddings: 8192,
            ..expected
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn a_mistral_has_a_sliding_window() {
        let mistral = |mut changes: Value| {
            changes["architectures"] = json!(["MistralForCausalLM"]);
            read(changes).unwrap().sliding_window
        };
        assert_eq!(mistral(json!({})), Some(4096));
        assert_eq!(mistral(json!({ "sliding_window": null })), None);
        assert_eq!(mistral(json!({ "sliding_window": 7 })), Some(7));
    }

    #[test]
    fn quantization_by_bitsandbytes_to_nf4_is_read() {
        let nf4 = json!({ "quant_method": "bitsandbytes", "bnb_4bit_quant_type": "nf4" });
        assert_eq!(read(json!({ "quantization_config": nf4 })), read(json!({})));
    }

    #[test]
    fn rope_scaling_is_read_in_every_form() {
        let linear = Ok(RopeScaling::Linear { factor: 2.0 });
        let llama3 = Ok(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        });
        let llama3_json = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_theta": 5e5,
        });
        let scaling = |changes| read(changes).map(|config| config.rope_scaling);
        assert_eq!(scaling(json!({ "rope_scaling": { "type": "linear", "factor": 2 } })), linear);
        assert_eq!(scaling(json!({ "rope_scaling": { "rope_type": "linear", "factor": 2.0 } })), linear);
        assert_eq!(scaling(json!({ "rope_scaling": null })), Ok(RopeScaling::None));
        assert_eq!(scaling(json!({ "rope_scaling": llama3_json })), llama3);
        let config = read(json!({ "rope_parameters": llama3_json, "rope_theta": 1.0 })).unwrap();
        assert_eq!((Ok(config.rope_scaling), config.rope_theta), (llama3, 5e5));
        let config = read(json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 7 } })).unwrap();
        assert_eq!((config.rope_scaling, config.rope_theta), (RopeScaling::None, 7.0));
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let cases = [
            (json!({ "architectures": ["Qwen2ForCausalLM"] }), "`architectures` is Qwen2ForCausalLM; Llama"),
            (json!({ "architectures": null, "model_type": "gpt2" }), "`architectures` is gpt2"),
            (json!({ "attention_bias": true }), "`attention_bias` is true"),
            (json!({ "mlp_bias": true }), "`mlp_bias` is true"),
            (json!({ "hidden_act": "gelu" }), "`hidden_act` is gelu"),
            (json!({ "quantization_config": { "quant_method": "gptq" } }), "method gptq"),
            (json!({ "quantization_config": { "quant_method": "bitsandbytes" } }), "without nf4"),
            (
                json!({ "rope_scaling": { "rope_type": "yarn", "factor": 2 } }),
                "`rope_scaling` has the type yarn",
            ),
            (json!({ "rope_scaling": { "type": "linear" } }), "`rope_scaling` lacks `factor`"),
            (json!({ "rope_scaling": { "type": "linear", "factor": -1 } }), "not a positive number"),
            (
                json!({ "rope_parameters": { "partial_rotary_factor": 0.5 } }),
                "`partial_rotary_factor` is not 1",
            ),
            (json!({ "num_attention_heads": 0 }), "num_attention_heads is 0"),
            (json!({ "num_key_value_heads": 3 }), "3 does not divide 8"),
            (json!({ "hidden_size": u64::MAX }), "larger than any model"),
            (json!({ "hidden_size": -1 }), "config.json: invalid value"),
            (json!({ "hidden_size": "64" }), "config.json: invalid type"),
        ];
        for (changes, reason) in cases {
            let error = read(changes.clone()).unwrap_err();
            assert!(error.contains("config.json: ") && error.contains(reason), "{changes}: {error}");
        }
    }

    #[test]
    fn text_that_is_no_configuration_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for text in ["", "[]", "{}", "{\"architectures\": 1}", "\u{0}", "{\"model_type\": \"llama\"}"] {
            std::fs::write(&path, text).unwrap();
            assert!(from_json(&path).is_err(), "{text:?}");
        }
    }
}
