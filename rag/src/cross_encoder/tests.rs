//! Adapters on the tiny encoder of the sentence encoder's tests.

use std::fs;
use std::path::Path;

use llama::files::safetensors::Safetensors;
use serde_json::json;

use super::*;
use crate::sentence_encoder::tests::{device, folder, write_tensors};

/// A module of the tiny encoder and its shape.
const MODULE: &str = "encoder.layer.0.intermediate.dense";
const SHAPE: [usize; 2] = [64, 32];

/// Writes an adapter of rank 2 on one module; `b` is what its second matrix is filled with.
fn adapter(module: &str, b: f32, config: serde_json::Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [out, input] = SHAPE;
    let values = |count: usize| (0..count).map(|n| (n % 7) as f32 / 7.0 - 0.4).collect::<Vec<f32>>();
    let tensors = [
        (format!("base_model.model.{module}.lora_A.weight"), vec![2, input], values(2 * input)),
        (format!("base_model.model.{module}.lora_B.weight"), vec![out, 2], vec![b; 2 * out]),
        ("head.weight".into(), vec![1, input], values(input)),
        ("head.bias".into(), vec![1], vec![0.25]),
    ];
    write_tensors(&folder.path().join("adapter_model.safetensors"), &tensors);
    fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    folder
}

fn lora() -> serde_json::Value {
    json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["intermediate.dense"]})
}

fn open(encoder: &Path, adapter: &Path) -> Result<CrossEncoder, RagError> {
    CrossEncoder::open(encoder, adapter, &device())
}

#[test]
fn an_adapter_is_added_to_its_module() {
    let encoder = folder(&[]);
    let adapted = adapter(MODULE, 0.1, lora());
    let texts = ["red door", "blue", "green green green"];
    let scores = open(encoder.path(), adapted.path()).unwrap().scores("tell red", &texts).unwrap();

    // The same sum, written into the encoder's file; and an adapter that adds nothing to that.
    let file = encoder.path().join("model.safetensors");
    let weights = Safetensors::open(&file).unwrap();
    let names: Vec<String> = weights.names().map(str::to_string).collect();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for name in names {
        let shape = weights.shape(&name).unwrap().to_vec();
        let values = weights.read(&name, &shape).unwrap();
        tensors.push((name, shape, values));
    }
    let a = Safetensors::open(&adapted.path().join("adapter_model.safetensors")).unwrap();
    let a = a.read(&format!("base_model.model.{MODULE}.lora_A.weight"), &[2, SHAPE[1]]).unwrap();
    let matrix = tensors.iter_mut().find(|(name, ..)| *name == format!("{MODULE}.weight")).unwrap();
    for (index, weight) in matrix.2.iter_mut().enumerate() {
        let column = index % SHAPE[1];
        *weight += 2.0 * 0.1 * (a[column] + a[SHAPE[1] + column]); // lora_alpha / r · B · A
    }
    drop(weights);
    write_tensors(&file, &tensors);
    let plain = adapter(MODULE, 0.0, lora());
    let expected = open(encoder.path(), plain.path()).unwrap().scores("tell red", &texts).unwrap();
    for (score, expected) in scores.iter().zip(&expected) {
        assert!((score - expected).abs() < 1e-4, "{scores:?} {expected:?}"); // sums in another order
    }
    assert!(scores[0] != scores[1]);
}

#[test]
fn a_text_has_its_score_whatever_is_read_beside_it() {
    let (encoder, adapter) = (folder(&[]), adapter(MODULE, 0.1, lora()));
    let cross_encoder = open(encoder.path(), adapter.path()).unwrap();
    let together = cross_encoder.scores("ask", &["red door", "blue", "door door"]).unwrap();
    let alone = cross_encoder.scores("ask", &["blue"]).unwrap();
    assert_eq!(together[1], alone[0]);
    assert_ne!(cross_encoder.scores("blue", &["ask"]).unwrap(), alone, "question and text are told apart");
    assert!(cross_encoder.scores("ask", &[]).unwrap().is_empty());
    let long = "red ".repeat(50);
    assert!(cross_encoder.scores(&long, &[&long]).unwrap()[0].is_finite(), "what is too long is cut");
}

#[test]
fn of_a_long_conversation_the_end_is_read() {
    let (encoder, adapter) = (folder(&[]), adapter(MODULE, 0.1, lora()));
    let cross_encoder = open(encoder.path(), adapter.path()).unwrap();
    let asked = |question: &str| {
        cross_encoder.scores(&format!("{}{question}", "red ".repeat(50)), &["door"]).unwrap()
    };
    assert_ne!(asked("ask"), asked("tell"));
}

#[test]
fn what_is_no_adapter_of_the_encoder_is_refused() {
    let encoder = folder(&[]);
    let other = adapter("encoder.layer.7.intermediate.dense", 0.1, lora());
    let error = open(encoder.path(), other.path()).unwrap_err().to_string();
    assert!(error.contains("encoder.layer.7") && error.contains("adapter_model.safetensors"), "{error}");
    for (field, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("alpha_pattern", json!({"query": 64})),
        ("init_lora_weights", json!("pissa")),
        ("peft_type", json!("IA3")),
    ] {
        let mut config = lora();
        config[field] = value;
        let error = open(encoder.path(), adapter(MODULE, 0.1, config).path()).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json") && error.contains(field), "{error}");
    }
    let mut config = lora();
    config["lora_alpha"] = json!(1e30);
    let huge = adapter(MODULE, 0.1, config);
    let scores = open(encoder.path(), huge.path()).and_then(|huge| huge.scores("ask", &["red"]));
    assert!(scores.is_err_and(|error| error.to_string().contains("adapter_model")));
    let infinite = adapter(MODULE, f32::INFINITY, lora());
    let error = open(encoder.path(), infinite.path()).unwrap_err().to_string();
    assert!(error.contains("lora_B") && error.contains("not finite"), "{error}");
}
