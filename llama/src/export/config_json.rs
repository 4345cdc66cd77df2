//! config.json and its companions: written anew for a model from a GGUF, else changed where the export changes them.

use engine::{AttentionBias, LlamaConfig, RopeScaling};
use serde_json::{Map, Value, json};

use crate::files::float::Float;
use crate::model::config::Architecture;
use crate::text::tokenizer::Tokenizer;

/// config.json of the architecture that has these features.
///
/// # Errors
/// What no architecture has.
pub(super) fn of(config: &LlamaConfig, tokenizer: &Tokenizer) -> Result<Map<String, Value>, String> {
    let architecture = Architecture::describing(config)?;
    let fields = json!({
        "architectures": [architecture.class()],
        "model_type": architecture.model_type(),
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": decimal(config.rms_norm_eps),
        "rope_theta": decimal(config.rope_theta),
        "rope_scaling": rope_scaling(config),
        "hidden_act": "silu",
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": tokenizer.bos(),
        "eos_token_id": tokenizer.eos().first(),
        "use_cache": true,
    });
    let mut fields = object(fields);
    match architecture {
        Architecture::Llama => {
            fields.insert("attention_bias".into(), json!(config.attention_bias == AttentionBias::All));
            fields.insert("mlp_bias".into(), json!(config.mlp_bias));
        }
        Architecture::Mistral => {
            fields.insert("sliding_window".into(), json!(config.sliding_window));
        }
        Architecture::Qwen2 => {
            fields.insert("sliding_window".into(), json!(config.sliding_window));
            fields.insert("use_sliding_window".into(), json!(config.sliding_window.is_some()));
            fields.insert("max_window_layers".into(), json!(0));
        }
    }
    Ok(fields)
}

/// Sets the tensors' type in a config.json and removes its quantization.
pub(super) fn set_dtype(fields: &mut Map<String, Value>, dtype: Float) {
    // transformers 5 writes `dtype`, older releases `torch_dtype`; 5 reads both.
    let key = if fields.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    fields.insert(key.into(), dtype.torch_name().into());
    fields.remove("quantization_config");
    fields.remove("_name_or_path");
}

/// Notes in a config.json that the projections are NF4, and computed in `dtype`.
pub(super) fn set_nf4(fields: &mut Map<String, Value>, dtype: Float) {
    let quantization = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "_load_in_4bit": true,
        "_load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": true,
        "bnb_4bit_compute_dtype": dtype.torch_name(),
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_enable_fp32_cpu_offload": false,
        "llm_int8_has_fp16_weight": false,
        "llm_int8_skip_modules": null,
        "llm_int8_threshold": 6.0,
    });
    fields.insert("quantization_config".into(), quantization);
}

/// generation_config.json: where a generation ends.
pub(super) fn generation(tokenizer: &Tokenizer) -> Map<String, Value> {
    object(json!({ "bos_token_id": tokenizer.bos(), "eos_token_id": tokenizer.eos() }))
}

/// tokenizer_config.json for a tokenizer.json that says all else.
pub(super) fn tokenizer(tokenizer: &Tokenizer, context: usize) -> Map<String, Value> {
    let spelled = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id));
    let eos = spelled(tokenizer.eos().first().copied());
    object(json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": spelled(tokenizer.bos()),
        "eos_token": eos,
        "pad_token": eos,
        "model_max_length": context,
        "clean_up_tokenization_spaces": false,
    }))
}

fn rope_scaling(config: &LlamaConfig) -> Value {
    match &config.rope_scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": decimal(*factor) }),
        RopeScaling::Dynamic { factor } => json!({ "rope_type": "dynamic", "factor": decimal(*factor) }),
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
        } => json!({
            "rope_type": "yarn",
            "factor": decimal(*factor),
            "original_max_position_embeddings": original_max_position_embeddings,
            "attention_factor": decimal(*attention_factor),
            "beta_fast": decimal(*beta_fast),
            "beta_slow": decimal(*beta_slow),
            "truncate": truncate,
        }),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => json!({
            "rope_type": "llama3",
            "factor": decimal(*factor),
            "low_freq_factor": decimal(*low_freq_factor),
            "high_freq_factor": decimal(*high_freq_factor),
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
        // One table for texts of any length.
        RopeScaling::LongRope { factors, attention_factor } => {
            let factors: Vec<f64> = factors.iter().copied().map(decimal).collect();
            json!({
                "rope_type": "longrope",
                "factor": 1.0,
                "original_max_position_embeddings": config.max_position_embeddings,
                "attention_factor": decimal(*attention_factor),
                "short_factor": factors,
                "long_factor": factors,
            })
        }
    }
}

/// The number as a person would have written it: 1e-5, not 9.99999974737875e-6.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
