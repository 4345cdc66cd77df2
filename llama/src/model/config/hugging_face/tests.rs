use engine::RopeScaling;
use serde_json::{Value, json};

use super::*;

/// The configuration read from a small model's file with `changes` applied.
fn read(changes: Value) -> Result<LlamaConfig, String> {
    read_any(changes).map(|(_, config)| config)
}

fn read_any(changes: Value) -> Result<(Architecture, LlamaConfig), String> {
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
        attention_bias: AttentionBias::None,
        mlp_bias: false,
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
        changes["model_type"] = json!("mistral");
        read(changes).unwrap().sliding_window
    };
    assert_eq!(mistral(json!({})), Some(4096));
    assert_eq!(mistral(json!({ "sliding_window": null })), None);
    assert_eq!(mistral(json!({ "sliding_window": 7 })), Some(7));
    let full = json!({ "architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": 8,
        "layer_types": vec!["full_attention"; 5] });
    assert!(read(full).unwrap_err().contains("`layer_types` has full_attention, but"));
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
    let config = read(json!({ "rope_parameters": llama3_json, "rope_theta": 5e5 })).unwrap();
    assert_eq!((Ok(config.rope_scaling), config.rope_theta), (llama3.clone(), 5e5));
    let config = read(json!({ "rope_scaling": llama3_json, "rope_parameters": llama3_json })).unwrap();
    assert_eq!((Ok(config.rope_scaling), config.rope_theta), (llama3, 5e5), "either place, or both alike");
    let dynamic = json!({ "rope_scaling": { "type": "dynamic", "factor": 2.0 } });
    assert_eq!(scaling(dynamic), Ok(RopeScaling::Dynamic { factor: 2.0 }));
    let config = read(json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 7 } })).unwrap();
    assert_eq!((config.rope_scaling, config.rope_theta), (RopeScaling::None, 7.0));
}

#[test]
fn yarn_has_the_defaults_of_transformers() {
    let scaling = |mut rope: Value| {
        rope["rope_type"] = json!("yarn");
        read(json!({ "rope_scaling": rope })).unwrap().rope_scaling
    };
    let plain = RopeScaling::Yarn {
        factor: 4.0,
        original_max_position_embeddings: 2048,
        attention_factor: 1.138_629_4, // 0.1 ln 4 + 1
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
    };
    assert_eq!(scaling(json!({ "factor": 4.0, "finetuned": true, "beta_fast": null })), plain);
    let mscale = json!({ "factor": 4.0, "mscale": 0.5, "mscale_all_dim": 2.0 });
    let RopeScaling::Yarn { attention_factor, .. } = scaling(mscale) else { panic!("not yarn") };
    assert!((f64::from(attention_factor) - 1.069_314_718 / 1.277_258_872).abs() < 1e-7, "{attention_factor}");
    let all = json!({
        "factor": 4.0, "original_max_position_embeddings": 32, "attention_factor": 0.7, "beta_fast": 16,
        "beta_slow": 2, "truncate": false,
    });
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        original_max_position_embeddings: 32,
        attention_factor: 0.7,
        beta_fast: 16.0,
        beta_slow: 2.0,
        truncate: false,
    };
    assert_eq!(scaling(all), expected);
}

#[test]
fn longrope_is_read_where_one_table_holds_throughout() {
    let scaling = |context: usize, long: [f64; 4]| {
        let rope = json!({
            "type": "longrope", "short_factor": [1, 1, 2, 3], "long_factor": long,
            "original_max_position_embeddings": 512,
        });
        read(json!({ "rope_scaling": rope, "max_position_embeddings": context }))
            .map(|config| config.rope_scaling)
    };
    let table =
        |attention_factor| RopeScaling::LongRope { factors: vec![1.0, 1.0, 2.0, 3.0], attention_factor };
    assert_eq!(scaling(512, [9.0; 4]), Ok(table(1.0)), "no text is long");
    let magnitude = (1.0 + 4f64.ln() / 512f64.ln()).sqrt() as f32;
    assert_eq!(scaling(2048, [1.0, 1.0, 2.0, 3.0]), Ok(table(magnitude)), "one table");
    assert!(scaling(2048, [9.0; 4]).unwrap_err().contains("texts of more than 512 tokens"));
}

#[test]
fn a_qwen2_has_biases_and_a_window_in_all_layers_or_none() {
    let qwen2 = |mut changes: Value| {
        changes["architectures"] = json!(["Qwen2ForCausalLM"]);
        changes["model_type"] = json!("qwen2");
        changes["num_key_value_heads"] = json!(8);
        read_any(changes)
    };
    let (architecture, config) = qwen2(json!({ "sliding_window": 7, "max_window_layers": 2 })).unwrap();
    assert_eq!((architecture, config.attention_bias), (Architecture::Qwen2, AttentionBias::Qkv));
    assert_eq!((config.max_position_embeddings, config.sliding_window), (32_768, None));
    let window = |changes| qwen2(changes).map(|(_, config)| config.sliding_window);
    let used = |layers: usize| json!({ "use_sliding_window": true, "sliding_window": 7, "max_window_layers": layers });
    assert_eq!(window(used(0)), Ok(Some(7)));
    assert_eq!(window(used(5)), Ok(None));
    assert!(window(used(2)).unwrap_err().contains("`sliding_window` is 7 in 3 of 5 layers"));
    let mut wide = used(2);
    wide["sliding_window"] = json!(32_768);
    assert_eq!(window(wide), Ok(None), "a window as long as the context hides nothing");
    let kinds = |kinds: [&str; 5]| {
        let mut changes = used(2);
        changes["layer_types"] = json!(kinds);
        window(changes)
    };
    let (full, sliding) = ("full_attention", "sliding_attention");
    assert_eq!(kinds([full; 5]), Ok(None));
    assert_eq!(kinds([sliding; 5]), Ok(Some(7)), "layer_types says it where it is there");
    assert!(kinds([full, sliding, full, full, full]).unwrap_err().contains("in 1 of 5 layers"));
    assert!(kinds(["chunked_attention"; 5]).unwrap_err().contains("`layer_types` has chunked_attention"));
    assert!(window(json!({ "layer_types": [full] })).unwrap_err().contains("has 1 entries for 5 layers"));
}

#[test]
fn the_architecture_goes_by_type_and_class() {
    let kind = |class: Value, model_type: Value| {
        read_any(json!({ "architectures": class, "model_type": model_type, "num_key_value_heads": 8 }))
            .map(|(architecture, _)| architecture)
    };
    for class in ["LlamaForCausalLM", "FSDPLlamaForCausalLM", "PeftModelForCausalLM", "OptimizedModule"] {
        assert_eq!(kind(json!([class]), json!("llama")), Ok(Architecture::Llama), "{class}");
    }
    assert_eq!(kind(json!(["Qwen2ForCausalLM"]), Value::Null), Ok(Architecture::Qwen2));
    assert_eq!(kind(Value::Null, json!("mistral")), Ok(Architecture::Mistral));
    for (class, model_type, reason) in [
        (json!(["MistralForCausalLM"]), json!("llama"), "is MistralForCausalLM, but `model_type` is llama"),
        (
            json!(["LlamaForSequenceClassification"]),
            json!("llama"),
            "is LlamaForSequenceClassification; supported",
        ),
        (
            json!(["PeftModelForCausalLM"]),
            json!("gemma"),
            "is gemma; supported are LlamaForCausalLM, Mistral",
        ),
        (Value::Null, Value::Null, "is missing"),
    ] {
        let error = kind(class, model_type).unwrap_err();
        assert!(error.contains("`architectures` ") && error.contains(reason), "{error}");
    }
}

#[test]
fn a_llama_may_have_biases() {
    let config = read(json!({ "attention_bias": true, "mlp_bias": true })).unwrap();
    assert_eq!((config.attention_bias, config.mlp_bias), (AttentionBias::All, true));
}

#[test]
fn what_cannot_be_run_is_named() {
    let cases = [
        (json!({ "architectures": ["Qwen3ForCausalLM"] }), "`architectures` is Qwen3ForCausalLM; supported"),
        (json!({ "architectures": null, "model_type": "gpt2" }), "`architectures` is gpt2"),
        (
            json!({ "architectures": ["MistralForCausalLM"], "model_type": null, "attention_bias": true }),
            "`attention_bias` is true; a MistralForCausalLM has no such field",
        ),
        (json!({ "pruned_heads": { "0": [1] } }), "`pruned_heads` is not empty"),
        (json!({ "partial_rotary_factor": 0.5 }), "`partial_rotary_factor` is not 1"),
        (json!({ "layer_types": vec!["sliding_attention"; 5] }), "there is no sliding window"),
        (
            json!({ "compression_config": { "quant_method": "compressed-tensors" } }),
            "method compressed-tensors",
        ),
        (json!({ "hidden_act": "gelu" }), "`hidden_act` is gelu"),
        (json!({ "quantization_config": { "quant_method": "gptq" } }), "method gptq"),
        (json!({ "quantization_config": { "quant_method": "bitsandbytes" } }), "without nf4"),
        (
            json!({ "rope_scaling": { "rope_type": "mrope", "factor": 2 } }),
            "`rope_scaling` has the type mrope",
        ),
        (
            json!({ "rope_scaling": { "rope_type": "linear", "type": "dynamic", "factor": 2 } }),
            "`rope_scaling` has the `rope_type` linear and the `type` dynamic",
        ),
        (
            json!({ "rope_scaling": { "rope_type": "linear", "factor": 2, "beta_fast": 3 } }),
            "`rope_scaling` has `beta_fast`, which its type does not use",
        ),
        (
            json!({ "rope_scaling": { "rope_type": "dynamic", "factor": 2, "alpha": 3 } }),
            "`rope_scaling` has `alpha`, which its type does not use",
        ),
        (
            json!({ "rope_scaling": { "full_attention": { "rope_type": "default" } } }),
            "`rope_scaling` has `full_attention`",
        ),
        (
            json!({ "rope_scaling": { "rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 0 } }),
            "original_max_position_embeddings",
        ),
        (
            json!({ "rope_scaling": { "type": "linear", "factor": 2 }, "rope_parameters": { "rope_theta": 7 } }),
            "`rope_scaling` is not what `rope_parameters` says",
        ),
        (
            json!({ "rope_parameters": { "rope_theta": 5e5 }, "rope_theta": 1e4 }),
            "`rope_theta` is 10000, and 500000 among",
        ),
        (
            json!({ "rope_scaling": {
                "rope_type": "longrope", "short_factor": [1, 2], "long_factor": [1, 2], "factor": 1,
            } }),
            "rope_scaling",
        ),
        (json!({ "rope_scaling": { "type": "linear" } }), "`rope_scaling` lacks `factor`"),
        (json!({ "rope_scaling": { "type": "linear", "factor": -1 } }), "not a positive number"),
        (
            json!({ "rope_parameters": { "partial_rotary_factor": 0.5 } }),
            "`rope_parameters` has a `partial_rotary_factor` that is not 1",
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
