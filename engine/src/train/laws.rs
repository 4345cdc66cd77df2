//! The laws of training, on the model's random two-layer one: its forward pass is that of inference, a step moves the
//! adapter and nothing else, and neither checkpointing nor the cut into micro-batches changes what is learned.

use crate::adapter::lora::LoraWeights;
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::EngineError;
use crate::every_backend::on_every_backend;
use crate::model::laws::{assert_close, biased, config, logits, lora_config, model, random_adapter, tokens};
use crate::model::llama::Llama;
use crate::ops::host_values::host_values;
use crate::ops::quantized::Arithmetic;
use crate::quant::Format;
use crate::train::adamw::AdamWConfig;
use crate::train::example::Example;
use crate::train::finetune::Finetune;

on_every_backend!(
    the_training_forward_is_the_inference_forward,
    an_example_longer_than_dynamic_frequencies_reach_is_refused,
    a_step_moves_the_adapter_and_nothing_else,
    gradients_are_the_slopes_of_the_loss,
    accumulating_micro_batches_equals_one_batch,
    gradient_checkpointing_changes_nothing,
    dropout_depends_on_seed_and_step_only,
    an_adapter_learns_beside_biases,
);

pub(crate) fn examples(seed: u64) -> Vec<Example> {
    let example = |len: usize, seed| Example {
        tokens: tokens(len, seed),
        learned: (0..len).map(|i| i >= len / 2).collect(),
    };
    vec![example(12, seed), example(7, seed + 1), example(19, seed + 2)]
}

/// Every adapter tensor, flattened.
pub(crate) fn parameters(llama: &Llama) -> Vec<f32> {
    let (_, weights) = llama.lora().unwrap();
    weights.into_iter().flat_map(|w| [host_values(w.a), host_values(w.b)].concat()).collect()
}

fn the_training_forward_is_the_inference_forward() {
    let window = LlamaConfig { sliding_window: Some(7), ..config() };
    for config in [config(), window] {
        let llama = model(config, None);
        let text = tokens(30, 5);
        let rows = logits(&llama, &text);
        let expected: f64 = (1..30)
            .map(|i| {
                let row = &rows[(i - 1) * 61..i * 61];
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                sum.ln() - f64::from(row[text[i] as usize])
            })
            .sum();
        let example = Example { tokens: text, learned: vec![true; 30] };
        let found = llama.nll(&[example.clone(), example]).unwrap();
        assert_eq!(found.tokens, 58);
        assert!((found.sum / 2.0 - expected).abs() < 1e-3, "{} {expected}", found.sum / 2.0);
    }
}

fn an_example_longer_than_dynamic_frequencies_reach_is_refused() {
    let dynamic = LlamaConfig {
        rope_scaling: RopeScaling::Dynamic { factor: 4.0 },
        max_position_embeddings: 12,
        ..config()
    };
    let example = Example { tokens: tokens(13, 4), learned: vec![true; 13] };
    assert!(matches!(model(dynamic, None).nll(&[example]), Err(EngineError::Position { .. })));
}

fn a_step_moves_the_adapter_and_nothing_else() {
    for format in [None, Some(Format::NF4)] {
        let mut llama = model(LlamaConfig { intermediate_size: 128, ..config() }, format);
        llama.set_arithmetic(Arithmetic::Exact);
        let base = logits(&llama, &tokens(9, 9));
        llama.init_lora(&lora_config(0.1), 3).unwrap();
        let before = parameters(&llama);
        let mut finetune = Finetune::new(llama, AdamWConfig::default(), 1).unwrap();
        let first = finetune.step(&[examples(1)], 1e-2).unwrap();
        assert!(first.grad_norm > 0.0 && first.tokens == 6 + 4 + 10);
        let mut last = first;
        for _ in 0..30 {
            last = finetune.step(&[examples(1)], 1e-2).unwrap();
        }
        assert!(last.loss < first.loss * 0.7, "{first:?} {last:?}");
        let mut llama = finetune.into_model();
        assert_ne!(parameters(&llama), before);
        // With the adapter zeroed, the base answers as it did.
        let (config, weights) = llama.lora().unwrap();
        let zeroed = weights.into_iter().map(|w| LoraWeights { b: w.b.zeros_like(), ..w }).collect();
        let config = config.clone();
        llama.attach_lora(&config, zeroed).unwrap();
        assert_eq!(logits(&llama, &tokens(9, 9)), base);
    }
}

fn gradients_are_the_slopes_of_the_loss() {
    let mut llama = model(config(), None);
    llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
    let examples = examples(5);
    let loss = |llama: &Llama| llama.nll(&examples).unwrap().mean();
    // Plain gradient descent in disguise: with epsilon far above the gradients, Adam's first step is
    // lr · g / epsilon.
    let config = AdamWConfig { epsilon: 1e6, ..AdamWConfig::default() };
    let before = parameters(&llama);
    let start = loss(&llama);
    let mut finetune = Finetune::new(llama, config, 1).unwrap();
    let report = finetune.step(std::slice::from_ref(&examples), 1e4).unwrap();
    let llama = finetune.into_model();
    assert!((report.loss - start).abs() < 1e-4, "{} {start}", report.loss);
    let moved: f64 = parameters(&llama).iter().zip(&before).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let rate = 1e4 / 1e6; // parameters moved by rate · g
    assert!((moved.sqrt() / rate / report.grad_norm - 1.0).abs() < 1e-2);
    // First order: the loss falls by rate · |g|².
    let predicted = rate * report.grad_norm.powi(2);
    let fell = start - loss(&llama);
    assert!((fell / predicted - 1.0).abs() < 0.1, "fell {fell}, predicted {predicted}");
}

fn accumulating_micro_batches_equals_one_batch() {
    let step = |micro_batches: &[Vec<Example>]| {
        let mut llama = model(config(), None);
        llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
        let mut finetune =
            Finetune::new(llama, AdamWConfig { epsilon: 1.0, ..AdamWConfig::default() }, 1).unwrap();
        let report = finetune.step(micro_batches, 0.1).unwrap();
        (report, parameters(finetune.model()))
    };
    let (whole, expected) = step(&[examples(8)]);
    let (parts, found) = step(&examples(8).into_iter().map(|example| vec![example]).collect::<Vec<_>>());
    assert!((whole.loss - parts.loss).abs() < 1e-5);
    assert_eq!(whole.tokens, parts.tokens);
    assert_close(&found, &expected);
}

fn gradient_checkpointing_changes_nothing() {
    let run = |checkpointing| {
        let mut llama = model(config(), None);
        llama.init_lora(&lora_config(0.5), 3).unwrap();
        let finetune = Finetune::new(llama, AdamWConfig::default(), 1).unwrap();
        let mut finetune = finetune.with_gradient_checkpointing(checkpointing);
        let reports = [0, 1, 2].map(|_| finetune.step(&[examples(3), examples(2)], 1e-2).unwrap());
        (reports, parameters(finetune.model()))
    };
    assert_eq!(run(true), run(false));
}

fn dropout_depends_on_seed_and_step_only() {
    let run = |seed| {
        let mut llama = model(config(), None);
        llama.init_lora(&lora_config(0.5), 3).unwrap();
        let mut finetune = Finetune::new(llama, AdamWConfig::default(), seed).unwrap();
        let losses = [0, 1, 2].map(|_| finetune.step(&[examples(1)], 1e-2).unwrap().loss);
        (losses, parameters(finetune.model()))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).1, run(2).1);
}

fn an_adapter_learns_beside_biases() {
    for format in [None, Some(Format::NF4)] {
        let mut llama = model(LlamaConfig { intermediate_size: 128, ..biased() }, format);
        let base = logits(&llama, &tokens(9, 9));
        llama.init_lora(&lora_config(0.1), 3).unwrap();
        let before = parameters(&llama);
        let mut finetune = Finetune::new(llama, AdamWConfig::default(), 1).unwrap();
        let first = finetune.step(&[examples(1)], 1e-2).unwrap();
        let last = (0..30).map(|_| finetune.step(&[examples(1)], 1e-2).unwrap()).last().unwrap();
        assert!(last.loss < first.loss * 0.8, "{first:?} {last:?}");
        let mut llama = finetune.into_model();
        assert_ne!(parameters(&llama), before);
        let (config, weights) = llama.lora().unwrap();
        let zeroed = weights.into_iter().map(|w| LoraWeights { b: w.b.zeros_like(), ..w }).collect();
        let config = config.clone();
        llama.attach_lora(&config, zeroed).unwrap();
        assert_eq!(logits(&llama, &tokens(9, 9)), base, "weights and biases are as they were");
    }
}
