//! Small random models of each architecture: the logits that transformers computes
//! (`tests/fixtures/architectures.py`), from a folder, from the GGUF that it is exported to, and from the
//! folder that this is exported to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::{Batch, CacheType, KvCache, Llama, Outputs};
use llama::{Checkpoint, Export, Float, Recipe};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest difference of a logit, of about 1: f32 sums in another order, through two layers.
const LOGIT: f32 = 2e-5;

#[derive(Deserialize)]
struct Case {
    config: Value,
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("../fixtures/architectures.json")).unwrap()
}

/// splitmix64's finalizer, as in the generator.
fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn values(name: &str, len: usize) -> Vec<f32> {
    let seed = name.bytes().fold(7, |seed, byte| mix(seed, u64::from(byte)));
    let mean = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
    (0..len as u64).map(|i| mean + ((mix(seed, i) >> 56) as f32 - 128.0) / 512.0).collect()
}

/// The tensors of the model with their shapes.
fn tensors(config: &Value) -> Vec<(String, Vec<usize>)> {
    let size = |name: &str| config[name].as_u64().map(|size| size as usize);
    let flag = |name: &str| config[name].as_bool().unwrap_or(false);
    let [vocab, hidden, wide] =
        ["vocab_size", "hidden_size", "intermediate_size"].map(|name| size(name).unwrap());
    let heads = size("num_attention_heads").unwrap();
    let width = size("head_dim").unwrap_or(hidden / heads);
    let (queries, keys) = (heads * width, size("num_key_value_heads").unwrap() * width);
    let qwen2 = config["model_type"] == "qwen2";
    let (qkv, o, mlp) = (qwen2 || flag("attention_bias"), flag("attention_bias"), flag("mlp_bias"));
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), vec![vocab, hidden]),
        ("model.norm.weight".into(), vec![hidden]),
    ];
    if !flag("tie_word_embeddings") {
        tensors.push(("lm_head.weight".into(), vec![vocab, hidden]));
    }
    for layer in 0..size("num_hidden_layers").unwrap() {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("model.layers.{layer}.{norm}.weight"), vec![hidden]));
        }
        for (module, out, inputs, bias) in [
            ("self_attn.q_proj", queries, hidden, qkv),
            ("self_attn.k_proj", keys, hidden, qkv),
            ("self_attn.v_proj", keys, hidden, qkv),
            ("self_attn.o_proj", hidden, queries, o),
            ("mlp.gate_proj", wide, hidden, mlp),
            ("mlp.up_proj", wide, hidden, mlp),
            ("mlp.down_proj", hidden, wide, mlp),
        ] {
            tensors.push((format!("model.layers.{layer}.{module}.weight"), vec![out, inputs]));
            if bias {
                tensors.push((format!("model.layers.{layer}.{module}.bias"), vec![out]));
            }
        }
    }
    tensors
}

/// Writes the model's folder.
fn write(folder: &Path, config: &Value) {
    fs::create_dir_all(folder).unwrap();
    let put = |name: &str, value: &Value| fs::write(folder.join(name), value.to_string()).unwrap();
    put("config.json", config);
    // Printable characters, and the last as the end of a text.
    let vocab_size = config["vocab_size"].as_u64().unwrap();
    let vocab: BTreeMap<String, u64> =
        (0..vocab_size - 1).map(|id| (char::from(b'!' + id as u8).to_string(), id)).collect();
    let end = json!({
        "id": vocab_size - 1, "content": "</s>", "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false,
    });
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [end], "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    put("tokenizer.json", &tokenizer);
    put("tokenizer_config.json", &json!({ "eos_token": "</s>" }));
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors(config)
        .into_iter()
        .map(|(name, shape)| {
            let values = values(&name, shape.iter().product());
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

/// The logits of the last token.
fn logits(path: &Path, tokens: &[u32], device: &str) -> Vec<f32> {
    let device = engine::device::parse(device).unwrap();
    let checkpoint = Checkpoint::open(path).unwrap();
    let llama = Llama::load(checkpoint.config().clone(), &mut checkpoint.weights(&device), &device).unwrap();
    let mut cache = KvCache::new(llama.config(), tokens.len(), CacheType::F32, &device);
    let mut batch = Batch::new();
    batch.push(cache.open(None), tokens, Outputs::Last);
    llama.forward(&batch, &mut cache).unwrap().into_data().try_into_vec().unwrap()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= LOGIT, "{what}: differs by {worst}");
}

#[test]
fn logits_are_those_of_transformers_in_every_format() {
    for (name, Case { config, tokens, logits: expected }) in cases() {
        let check = |path: &Path, what: &str| {
            for device in engine::device::AVAILABLE {
                assert_close(
                    &logits(path, &tokens, device),
                    &expected,
                    &format!("{name}: {what} on {device}"),
                );
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let [folder, gguf, again] = ["folder", "model.gguf", "again"].map(|name| dir.path().join(name));
        write(&folder, &config);
        check(&folder, "folder");

        let mut quiet = |_, _| {};
        Export::open(&folder, None).unwrap().write_gguf(&gguf, Recipe::F16, &mut quiet).unwrap();
        check(&gguf, "GGUF");
        let export = Export::open(&gguf, None).unwrap();
        export.write_folder(&again, Some(Float::F32), &mut quiet).unwrap();
        check(&again, "folder again");

        let [first, second] = [&folder, &again].map(|path| Checkpoint::open(path).unwrap().architecture());
        assert_eq!(first, second, "{name}");
    }
}

/// Each feature of the fixture does something: no two cases of one architecture have the same logits.
#[test]
fn the_cases_differ() {
    let cases: Vec<(String, Case)> = cases().into_iter().collect();
    for (index, (name, case)) in cases.iter().enumerate() {
        for (other_name, other) in &cases[..index] {
            assert_ne!(case.logits, other.logits, "{name} and {other_name}");
        }
    }
}
