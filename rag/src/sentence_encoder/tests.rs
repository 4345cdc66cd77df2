//! A tiny encoder, written to a folder as a checkpoint is.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::*;

pub(crate) fn device() -> Device {
    engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
}

/// Writes an encoder of one layer over ten words; `files` replace or add sentence-transformers' files.
pub(crate) fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["[CLS]", "[SEP]", "[UNK]", "ask", ":", "tell", "red", "green", "blue", "door"];
    let vocab: serde_json::Map<String, Value> =
        words.iter().zip(0..).map(|(word, id)| (word.to_string(), json!(id))).collect();
    let special = |id: usize| json!({"SpecialToken": {"id": words[id], "type_id": 0}});
    let named = |id: usize| json!({"id": words[id], "ids": [id], "tokens": [words[id]]});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(0), {"Sequence": {"id": "A", "type_id": 0}}, special(1)],
            "pair": [
                special(0), {"Sequence": {"id": "A", "type_id": 0}}, special(1),
                {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": words[1], "type_id": 1}},
            ],
            "special_tokens": {"[CLS]": named(0), "[SEP]": named(1)},
        },
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    let config = json!({
        "model_type": "bert", "vocab_size": 10, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 12, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu",
    });
    let plain = [("config.json", config), ("tokenizer.json", tokenizer)];
    for (name, content) in plain.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
    }
    write_weights(&folder.path().join("model.safetensors"));
    folder
}

fn write_weights(path: &Path) {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_string(), shape.to_vec()));
    for (name, rows) in [("word", 10), ("position", 12), ("token_type", 2)] {
        add(&format!("embeddings.{name}_embeddings.weight"), &[rows, 32]);
    }
    let layer = "encoder.layer.0";
    for (name, shape) in [
        ("attention.self.query", [32, 32]),
        ("attention.self.key", [32, 32]),
        ("attention.self.value", [32, 32]),
        ("attention.output.dense", [32, 32]),
        ("intermediate.dense", [64, 32]),
        ("output.dense", [32, 64]),
    ] {
        add(&format!("{layer}.{name}.weight"), &shape);
        add(&format!("{layer}.{name}.bias"), &shape[..1]);
    }
    for name in [
        "embeddings.LayerNorm",
        "encoder.layer.0.attention.output.LayerNorm",
        "encoder.layer.0.output.LayerNorm",
    ] {
        add(&format!("{name}.weight"), &[32]);
        add(&format!("{name}.bias"), &[32]);
    }
    let mut state = 7u64;
    let mut value = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut tensors = Vec::new();
    for (name, shape) in shapes {
        let values = (0..shape.iter().product::<usize>()).map(|_| value()).collect();
        tensors.push((name, shape, values));
    }
    write_tensors(path, &tensors);
}

/// Writes a safetensors file of names, shapes and values.
pub(crate) fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let info = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), info);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], &header, &data].concat()).unwrap();
}

fn open(folder: &tempfile::TempDir) -> SentenceEncoder {
    SentenceEncoder::open(folder.path(), Precision::F32, &device()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

const PROMPTS: &str = "config_sentence_transformers.json";

#[test]
fn questions_and_passages_get_their_prompts() {
    let plain = open(&folder(&[]));
    let prompted = open(&folder(&[(PROMPTS, json!({"prompts": {"query": "ask: ", "document": "tell: "}}))]));
    assert_eq!(prompted.embed(&["red door"]).unwrap(), plain.embed(&["tell: red door"]).unwrap());
    assert_eq!(prompted.embed_question("red door").unwrap(), plain.embed_question("ask: red door").unwrap());
    assert_eq!(prompted.count_tokens("red").unwrap(), plain.count_tokens("red").unwrap() + 2);
    assert!(prompted.tells_questions_apart() && !plain.tells_questions_apart());
    assert_ne!(prompted.id(), plain.id());
    let default = json!({"prompts": {"all": "ask: "}, "default_prompt_name": "all"});
    let default = open(&folder(&[(PROMPTS, default)]));
    assert_eq!(default.embed(&["red"]).unwrap(), default.embed_questions(&["red"]).unwrap());
    assert!(!default.tells_questions_apart());
}

#[test]
fn the_pooling_is_the_models_own() {
    let pooled = |mode: &str| {
        let folder =
            folder(&[("1_Pooling/config.json", json!({mode: true, "word_embedding_dimension": 32}))]);
        SentenceEncoder::open(folder.path(), Precision::F32, &device()).map_err(|error| error.to_string())
    };
    let (mean, first) =
        (pooled("pooling_mode_mean_tokens").unwrap(), pooled("pooling_mode_cls_token").unwrap());
    let [mean, first] =
        [mean, first].map(|encoder| (encoder.id().to_string(), encoder.embed(&["red"]).unwrap()));
    assert!(mean.0 != first.0 && mean.1 != first.1);
    assert!((cosine(&first.1[0], &first.1[0]) - 1.0).abs() < 1e-5);
    assert!(
        pooled("pooling_mode_max_tokens").unwrap_err().contains("`pooling_mode_max_tokens` is not supported")
    );
}

#[test]
fn eight_bits_are_near_and_another_model() {
    let folder = folder(&[]);
    let (full, eight) =
        (open(&folder), SentenceEncoder::open(folder.path(), Precision::Q8, &device()).unwrap());
    assert_ne!(full.id(), eight.id());
    let texts = ["red door", "green", "blue blue door red"];
    for (full, eight) in full.embed(&texts).unwrap().iter().zip(eight.embed(&texts).unwrap()) {
        assert!(cosine(full, &eight) > 0.999);
    }
    assert_eq!(
        eight.embed(&texts).unwrap()[1],
        eight.embed(&texts[1..2]).unwrap()[0],
        "whatever shares the batch"
    );
}

#[test]
fn a_long_text_is_cut_and_its_end_kept() {
    let encoder = open(&folder(&[("sentence_bert_config.json", json!({"max_seq_length": 4}))]));
    let ids = encoder.tokenize("", "red green blue door").unwrap();
    assert_eq!((ids, encoder.max_tokens()), (vec![0, 6, 7, 1], 4));
    let long = folder(&[("sentence_bert_config.json", json!({"max_seq_length": 13}))]);
    let error = SentenceEncoder::open(long.path(), Precision::F32, &device()).unwrap_err().to_string();
    assert!(error.contains("max_seq_length is 13; expected 3 to 12"), "{error}");
}
