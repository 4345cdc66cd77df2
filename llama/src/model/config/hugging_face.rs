//! `config.json` of Hugging Face's transformers.
//!
//! A field that the model's class in transformers reads is used here or refused. What the class ignores
//! (initial values of weights, dropout in training, the type to load in) is ignored here too.

mod rope;

use std::path::Path;

use engine::{AttentionBias, LlamaConfig};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::architecture::Architecture;
use super::checks::checked;
use crate::error::LlamaError;
use rope::RopeJson;

/// The fields that matter. Absent and `null` mean transformers' default, except where noted.
#[derive(Debug, Deserialize)]
struct ConfigJson {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    /// Absent is the architecture's default, `null` as many as there are query heads.
    #[serde(default, deserialize_with = "present")]
    num_key_value_heads: Option<Option<usize>>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    /// Takes precedence over the field of the same name in the scaling.
    original_max_position_embeddings: Option<usize>,
    rope_scaling: Option<RopeJson>,
    /// Since transformers 5, instead of `rope_theta` and `rope_scaling`.
    rope_parameters: Option<RopeJson>,
    tie_word_embeddings: Option<bool>,
    /// Absent is the architecture's default, `null` is no window.
    #[serde(default, deserialize_with = "present")]
    sliding_window: Option<Option<usize>>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    quantization_config: Option<Value>,
    /// The older name of compressed-tensors' `quantization_config`.
    compression_config: Option<Value>,
    /// Attention heads that were cut out, by layer.
    pruned_heads: Option<serde_json::Map<String, Value>>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// transformers' default for `sliding_window`, of Mistral and of Qwen2 with `use_sliding_window`.
const SLIDING_WINDOW: usize = 4096;
/// transformers' default for Qwen2's `max_window_layers`.
const MAX_WINDOW_LAYERS: usize = 28;

/// Reads a `config.json`.
///
/// # Errors
/// If the file cannot be read, or describes a model that the engine cannot run.
pub fn from_json(path: &Path) -> Result<(Architecture, LlamaConfig), LlamaError> {
    let text = std::fs::read(path).map_err(LlamaError::io(path))?;
    let json: Value =
        serde_json::from_slice(&text).map_err(|error| LlamaError::file(path, error.to_string()))?;
    // The architecture is checked first, so that the error for another kind of model is not a missing field.
    let architecture = architecture(&json, path)?;
    let json = ConfigJson::deserialize(json).map_err(|error| LlamaError::file(path, error.to_string()))?;
    json.refuse_what_the_engine_lacks(architecture, path)?;

    let head_dim = match json.head_dim {
        Some(head_dim) => head_dim,
        None => json.hidden_size.checked_div(json.num_attention_heads).unwrap_or(0),
    };
    let max_position_embeddings =
        json.max_position_embeddings.unwrap_or(architecture.max_position_embeddings());
    let config = LlamaConfig {
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_hidden_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: match json.num_key_value_heads {
            Some(stated) => stated,
            None => architecture.num_key_value_heads(),
        }
        .unwrap_or(json.num_attention_heads),
        head_dim,
        max_position_embeddings,
        rms_norm_eps: json.rms_norm_eps.unwrap_or(1e-6) as f32,
        rope_theta: json.rope_theta(path)? as f32,
        rope_scaling: json.rope_scaling(max_position_embeddings, path)?,
        sliding_window: json.window(architecture, max_position_embeddings, path)?,
        attention_bias: match architecture {
            Architecture::Qwen2 => AttentionBias::Qkv,
            _ if json.attention_bias == Some(true) => AttentionBias::All,
            _ => AttentionBias::None,
        },
        mlp_bias: json.mlp_bias.unwrap_or(false),
        tie_word_embeddings: json.tie_word_embeddings.unwrap_or(false),
    };
    Ok((architecture, checked(config, path)?))
}

/// The architecture by `model_type` and by the class in `architectures`, where a program that wraps models
/// puts its own name before the class or in its place.
fn architecture(json: &Value, path: &Path) -> Result<Architecture, LlamaError> {
    #[derive(Deserialize)]
    struct DeclaredArchitecture {
        #[serde(default)]
        architectures: Option<Vec<String>>,
        model_type: Option<String>,
    }
    const WRAPPERS: [&str; 2] = ["PeftModelForCausalLM", "OptimizedModule"];

    let kind =
        DeclaredArchitecture::deserialize(json).map_err(|error| LlamaError::file(path, error.to_string()))?;
    let class = kind.architectures.unwrap_or_default().into_iter().next();
    let class = class.as_deref().filter(|class| !WRAPPERS.contains(class));
    let known =
        |is_it: &dyn Fn(Architecture) -> bool| Architecture::ALL.into_iter().find(|&known| is_it(known));
    let by_class = class.and_then(|class| known(&|known| class.ends_with(known.class())));
    let model_type = kind.model_type.as_deref();
    let by_type = model_type.and_then(|name| known(&|known| known.model_type() == name));
    let refused = |reason: String| Err(LlamaError::config(path, "architectures", reason));
    match (by_class, by_type) {
        (Some(class), Some(other)) if class != other => {
            refused(format!("is {}, but `model_type` is {}", class.class(), other.model_type()))
        }
        (Some(architecture), _) => Ok(architecture),
        (None, Some(architecture)) if class.is_none() => Ok(architecture),
        (None, _) => match class.or(model_type) {
            Some(other) => {
                let classes = Architecture::ALL.map(Architecture::class);
                refused(format!("is {other}; supported are {}", classes.join(", ")))
            }
            None => refused("is missing".into()),
        },
    }
}

impl ConfigJson {
    fn refuse_what_the_engine_lacks(
        &self,
        architecture: Architecture,
        path: &Path,
    ) -> Result<(), LlamaError> {
        let refuse = |field: &str, reason: String| Err(LlamaError::config(path, field, reason));
        for (field, bias) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if bias == Some(true) && architecture != Architecture::Llama {
                return refuse(field, format!("is true; a {} has no such field", architecture.class()));
            }
        }
        if let Some(activation) = self.hidden_act.as_deref().filter(|name| !["silu", "swish"].contains(name))
        {
            return refuse("hidden_act", format!("is {activation}; only silu is supported"));
        }
        if self.partial_rotary_factor.is_some_and(|part| part != 1.0) {
            return refuse("partial_rotary_factor", "is not 1; this is not supported".into());
        }
        if self.pruned_heads.as_ref().is_some_and(|heads| !heads.is_empty()) {
            return refuse("pruned_heads", "is not empty; layers of fewer heads are not supported".into());
        }
        let quantization = [
            ("quantization_config", &self.quantization_config),
            ("compression_config", &self.compression_config),
        ];
        for (field, value) in quantization {
            let Some(value) = value.as_ref().filter(|value| !value.is_null()) else { continue };
            let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("unknown");
            let method = match text("quant_method") {
                "bitsandbytes" if text("bnb_4bit_quant_type") == "nf4" => continue,
                "bitsandbytes" => "bitsandbytes without nf4",
                other => other,
            };
            return refuse(
                field,
                format!("has the method {method}, which is not supported; use the 16-bit files or a GGUF"),
            );
        }
        Ok(())
    }

    /// The window that all layers have.
    fn window(
        &self,
        architecture: Architecture,
        context: usize,
        path: &Path,
    ) -> Result<Option<usize>, LlamaError> {
        let refuse = |field: &str, reason: String| Err(LlamaError::config(path, field, reason));
        let stated = self.sliding_window.unwrap_or(Some(SLIDING_WINDOW)).filter(|&window| window > 0);
        let (window, first) = match architecture {
            Architecture::Llama => (None, 0), // its class has none, whatever the field says
            Architecture::Mistral => (stated, 0),
            Architecture::Qwen2 => (
                stated.filter(|_| self.use_sliding_window == Some(true)),
                self.max_window_layers.unwrap_or(MAX_WINDOW_LAYERS),
            ),
        };
        let layers = self.num_hidden_layers;
        let windowed = match &self.layer_types {
            Some(kinds) if kinds.len() != layers => {
                return refuse("layer_types", format!("has {} entries for {layers} layers", kinds.len()));
            }
            Some(kinds) => {
                let known = ["full_attention", "sliding_attention"];
                if let Some(kind) = kinds.iter().find(|kind| !known.contains(&kind.as_str())) {
                    return refuse("layer_types", format!("has {kind}, which is not supported"));
                }
                kinds.iter().filter(|kind| *kind == known[1]).count()
            }
            None if window.is_some() => layers.saturating_sub(first),
            None => 0,
        };
        match window {
            Some(window) if windowed < layers && architecture == Architecture::Mistral => refuse(
                "layer_types",
                format!("has full_attention, but its class has the window of {window} in every layer"),
            ),
            _ if windowed == 0 => Ok(None),
            None => refuse("layer_types", "has sliding_attention, but there is no sliding window".into()),
            Some(window) if windowed == layers => Ok(Some(window)),
            Some(window) if window >= context => Ok(None), // a window as wide as the context hides nothing
            Some(window) => refuse(
                "sliding_window",
                format!("is {window} in {windowed} of {layers} layers; it is supported in all or none"),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
