//! A model of two small layers in Hugging Face's files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

const HIDDEN: usize = 64;
const FEED_FORWARD: usize = 128;
const KEYS: usize = 32;

/// Writes a random Llama whose tokens are the printable ASCII characters, with a context of 256.
pub fn write_model(folder: &Path) {
    let characters: Vec<char> = std::iter::once('\n').chain(' '..='~').collect();
    let eos = characters.len();
    fs::create_dir_all(folder).unwrap();
    let write = |name: &str, value: Value| fs::write(folder.join(name), value.to_string()).unwrap();
    write(
        "config.json",
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": eos + 1,
            "hidden_size": HIDDEN, "intermediate_size": FEED_FORWARD, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        }),
    );
    let vocab: serde_json::Map<String, Value> =
        characters.iter().enumerate().map(|(id, character)| (character.to_string(), json!(id))).collect();
    let end = json!({
        "id": eos, "content": "</s>", "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false,
    });
    write(
        "tokenizer.json",
        json!({ "version": "1.0", "added_tokens": [end], "decoder": { "type": "Fuse" }, "model": { "type": "BPE", "vocab": vocab, "merges": [] } }),
    );
    write("tokenizer_config.json", json!({ "eos_token": "</s>" }));

    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![eos + 1, HIDDEN])];
    for layer in 0..2 {
        for (name, shape) in [
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![KEYS, HIDDEN]),
            ("self_attn.v_proj", vec![KEYS, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.up_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FEED_FORWARD]),
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    tensors.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    fs::write(folder.join("model.safetensors"), safetensors(&tensors)).unwrap();
}

/// A safetensors file of these shapes: vectors of ones, matrices of small noise.
fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let mut state = 1u32;
    for (name, shape) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let value: f32 = if shape.len() == 1 { 1.0 } else { 0.3 * noise };
            data.extend(value.to_le_bytes());
        }
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
