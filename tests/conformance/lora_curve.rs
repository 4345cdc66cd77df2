//! Sixteen training steps of SmolLM2 against PEFT: the losses, and the adapter that they leave.

use burn::tensor::Tensor;
use engine::{AdamWConfig, Example, Finetune};
use llama::dataset::{Learn, PairTemplate, Prompts, Row, RowOrigin, encode};
use llama::files::gguf::Gguf;
use llama::{Adapter, Message, Tokenizer};
use serde::Deserialize;
use serde_json::Value;

use super::{json, reference, smollm2, variable};

/// Largest relative difference of a step's loss: f32 sums in another order through 30 layers, and
/// through the steps before.
const LOSS: f64 = 1e-3;
/// Largest relative difference of a gradient's norm.
const GRAD_NORM: f64 = 1e-2;
/// Largest relative distance (Frobenius) of a tensor of the final adapter.
const TENSOR: f64 = 1e-2;
/// The reference's learning rate and batch.
const LR: f64 = 2e-4;
const BATCH: usize = 4;

/// `data.json`.
#[derive(Deserialize)]
struct Rows {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    eos: u32,
}

fn relative(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected.abs()
}

/// `‖found − expected‖ / ‖expected‖`.
fn distance(found: &Tensor<2>, expected: &Tensor<2>) -> f64 {
    let values = |tensor: &Tensor<2>| tensor.to_data().try_into_vec::<f32>().unwrap();
    let (found, expected) = (values(found), values(expected));
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let difference = squares(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
    (difference / squares(&mut expected.iter().copied())).sqrt()
}

/// The texts as rows of a data set: instruction and response apart.
fn row(text: &str) -> Row {
    let (instruction, response) = text.split_once("\n### Response:\n").unwrap();
    let instruction = instruction.strip_prefix("### Instruction:\n").unwrap();
    let origin = RowOrigin { file: 0, line: 0 };
    let messages = vec![Message::new("user", instruction), Message::new("assistant", response)];
    Row { messages, category: None, origin }
}

#[test]
fn rows_are_encoded_as_one_text() {
    let (Some(folder), Some(gguf)) = (reference("smollm2-lora-curve"), variable("SMOLLM2_GGUF")) else {
        return;
    };
    let expected: Rows = json(&folder.join("data.json"));
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&gguf).unwrap()).unwrap();
    assert_eq!(tokenizer.eos().first(), Some(&expected.eos));
    let rows: Vec<Row> = expected.texts.iter().map(|text| row(text)).collect();
    let rows: Vec<&Row> = rows.iter().collect();
    let plain = Prompts::Pair(PairTemplate::grounded());
    let encoded = encode(&rows, &tokenizer, &plain, expected.eos, Learn::Response, 512).unwrap();
    assert_eq!(encoded.examples.len(), expected.ids.len());
    for ((example, ids), row) in encoded.examples.iter().zip(&expected.ids).zip(&rows) {
        assert_eq!(&example.tokens, ids);
        let start = example.learned.iter().position(|&learned| learned).unwrap();
        let response = tokenizer.encode(row.response(), false).unwrap();
        assert_eq!(example.tokens[start..], [response, vec![expected.eos]].concat());
    }
}

#[test]
fn losses_and_adapter_are_pefts() {
    let (Some(folder), Some(mut llama)) = (reference("smollm2-lora-curve"), smollm2(true)) else { return };
    let (rows, curve): (Rows, Value) = (json(&folder.join("data.json")), json(&folder.join("curve.json")));
    let example = |tokens: Vec<u32>| Example { learned: vec![true; tokens.len()], tokens };
    let examples: Vec<Example> = rows.ids.into_iter().map(example).collect();

    Adapter::load_onto(&folder.join("init"), &mut llama, &variable("SMOLLM2_GGUF").unwrap()).unwrap();
    let device = llama.device().clone();
    let mut finetune = Finetune::new(llama, AdamWConfig::default(), 0).unwrap();
    for (step, batch) in curve["steps"].as_array().unwrap().iter().zip(examples.chunks(BATCH)) {
        let report = finetune.step(&[batch.to_vec()], LR).unwrap();
        let (loss, norm) = (step["loss"].as_f64().unwrap(), step["grad_norm"].as_f64().unwrap());
        println!(
            "step {:2}: loss {:.5}, off by {:.1e}; gradient {:.5}, off by {:.1e}",
            step["step"],
            report.loss,
            relative(report.loss, loss),
            report.grad_norm,
            relative(report.grad_norm, norm)
        );
        assert_eq!(report.tokens as u64, step["label_tokens"].as_u64().unwrap());
        assert!(relative(report.loss, loss) <= LOSS, "{} against {loss}", report.loss);
        assert!(relative(report.grad_norm, norm) <= GRAD_NORM, "{} against {norm}", report.grad_norm);
    }

    let after = finetune.model().nll(&examples[..BATCH]).unwrap().mean();
    assert!(relative(after, curve["loss_batch0_after"].as_f64().unwrap()) <= LOSS);
    let expected = Adapter::load(&folder.join("final"), &device).unwrap();
    let (_, found) = finetune.model().lora().unwrap();
    assert_eq!(found.len(), expected.weights.len());
    let mut worst: f64 = 0.0;
    for pair in &expected.weights {
        let ours = found.iter().find(|ours| ours.module == pair.module).unwrap();
        for (ours, theirs) in [(&ours.a, &pair.a), (&ours.b, &pair.b)] {
            worst = worst.max(distance(ours, theirs));
            assert!(distance(ours, theirs) <= TENSOR, "{}: {}", pair.module, distance(ours, theirs));
        }
    }
    println!("the final adapter's tensors are off by at most {worst:.1e}");
}
