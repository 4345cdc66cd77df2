//! The laws of LoRA's variants on the small random model, and their figures in Python's peft
//! (`tests/fixtures/peft_variants.py`).

use burn::tensor::{Tensor, TensorData};
use serde_json::Value;

use crate::adapter::AdapterId;
use crate::adapter::lora::Dropout;
use crate::adapter::lora::{LoraConfig, LoraWeights};
use crate::adapter::row_adapters::RowAdapters;
use crate::config::LlamaConfig;
use crate::every_backend::{device, on_every_backend};
use crate::linear::projection::Projection;
use crate::linear::weight::Weight;
use crate::model::laws::{
    RandomWeights, assert_close, biased, config, logits, lora_config, model, random_adapter, tokens,
};
use crate::model::llama::Llama;
use crate::ops::host_values::host_values;
use crate::quant::Format;
use crate::rng::mix;
use crate::train::adamw::AdamWConfig;
use crate::train::example::Example;
use crate::train::finetune::Finetune;
use crate::train::laws::examples;

on_every_backend!(
    all_linear_is_every_projection_but_the_head,
    rank_stabilised_scaling_divides_by_the_root_of_the_rank,
    dora_starts_as_nothing,
    doras_rows_are_as_long_as_its_magnitudes,
    merging_dora_is_computing_with_it,
    doras_norms_follow_what_they_are_made_of,
    a_step_moves_doras_magnitudes_too,
    dropout_touches_only_what_dora_changes,
    magnitudes_come_with_use_dora_and_fit,
    a_step_of_each_variant_is_pefts,
);

/// Largest relative difference of a figure of PEFT's: f32 sums in another order, through two layers.
const PEFT: f64 = 2e-4;

fn all_linear_is_every_projection_but_the_head() {
    let mut llama = model(config(), None);
    let all = LoraConfig { target_modules: vec!["All-Linear".into()], ..lora_config(0.0) };
    llama.init_lora(&all, 1).unwrap();
    let (config, weights) = llama.lora().unwrap();
    let names = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"];
    assert_eq!(config.target_modules, names);
    assert_eq!(weights.len(), 2 * names.len());
    let beside = LoraConfig { target_modules: vec!["all-linear".into(), "c_attn".into()], ..all };
    assert!(model(self::config(), None).init_lora(&beside, 1).is_err(), "the shorthand stands alone");
}

fn rank_stabilised_scaling_divides_by_the_root_of_the_rank() {
    let config = LoraConfig { r: 16, lora_alpha: 8.0, ..LoraConfig::default() };
    assert_eq!(config.scale(), 0.5);
    assert_eq!(LoraConfig { use_rslora: true, ..config }.scale(), 2.0);

    // On the model: r = 4, so the root halves what the rank divides by.
    let (mut plain, mut stabilised) = (model(self::config(), None), model(self::config(), None));
    let weights = random_adapter(&plain);
    let twice = LoraConfig { lora_alpha: 16.0, ..lora_config(0.0) };
    plain.attach_lora(&twice, weights.clone()).unwrap();
    stabilised.attach_lora(&LoraConfig { use_rslora: true, ..lora_config(0.0) }, weights).unwrap();
    assert_eq!(logits(&stabilised, &tokens(9, 7)), logits(&plain, &tokens(9, 7)));
}

fn dora_config(dropout: f32) -> LoraConfig {
    LoraConfig { use_dora: true, ..lora_config(dropout) }
}

fn random(name: &str, shape: [usize; 2], mean: f32) -> Tensor<2> {
    let values = RandomWeights::values(name, shape[0] * shape[1]).into_iter().map(|x| x + mean).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, shape), &device())
}

/// A model that carries an adapter whose every tensor is random.
fn adapted(config: LlamaConfig, format: Option<Format>, lora: &LoraConfig) -> Llama {
    let mut llama = model(config, format);
    llama.init_lora(lora, 1).unwrap();
    let (_, weights) = llama.lora().unwrap();
    let drawn = |LoraWeights { module, a, b, magnitude }: LoraWeights| LoraWeights {
        a: random(&format!("{module}.a"), a.dims(), 0.0),
        b: random(&format!("{module}.b"), b.dims(), 0.0),
        magnitude: magnitude.map(|m| random(&format!("{module}.magnitude"), m.dims(), 1.5)),
        module,
    };
    llama.attach_lora(lora, weights.into_iter().map(drawn).collect()).unwrap();
    llama
}

fn dora_starts_as_nothing() {
    let mut llama = model(config(), None);
    let before = logits(&llama, &tokens(9, 7));
    llama.init_lora(&dora_config(0.0), 3).unwrap();
    assert_eq!(logits(&llama, &tokens(9, 7)), before);
}

fn doras_rows_are_as_long_as_its_magnitudes() {
    let lora = dora_config(0.0);
    let llama = adapted(config(), None, &lora);
    let (_, weights) = llama.lora().unwrap();
    for weights in weights {
        let [[_, inputs], [out, _]] = [weights.a.dims(), weights.b.dims()];
        let merged = host_values(weights.merged(random(&weights.module, [out, inputs], 0.0), &lora));
        let magnitudes = host_values(weights.magnitude.unwrap());
        for (row, magnitude) in merged.chunks(inputs).zip(magnitudes) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - magnitude).abs() < 1e-5, "{norm} {magnitude}");
        }
    }
}

fn merging_dora_is_computing_with_it() {
    let mut llama = adapted(config(), None, &dora_config(0.0));
    let apart = logits(&llama, &tokens(9, 8));
    llama.merge_lora().unwrap();
    assert!(llama.lora().is_none());
    assert_close(&logits(&llama, &tokens(9, 8)), &apart);
}

fn doras_norms_follow_what_they_are_made_of() {
    let wide = || LlamaConfig { intermediate_size: 128, ..config() };
    // Quantized under the adapter, or before it: the same model.
    let mut llama = adapted(wide(), None, &dora_config(0.0));
    llama.quantize_base(Format::NF4).unwrap();
    let before = adapted(wide(), Some(Format::NF4), &dora_config(0.0));
    // Only the tables differ: the one quantizes embeddings and head too.
    let layer = |llama: &Llama| {
        let mut layer = llama.layers[1].clone();
        let [.., (_, down)] = layer.projections_mut();
        let adapters = RowAdapters::all(3, llama.adapter(), llama.device());
        host_values(down.forward_with(random("x", [3, 128], 0.0), &adapters))
    };
    assert_eq!(layer(&llama), layer(&before));

    // After a step, the model in training is the one that its adapter makes when it is loaded.
    let mut finetune = Finetune::new(llama, AdamWConfig::default(), 1).unwrap();
    finetune.step(&[examples(1)], 0.1).unwrap();
    let trained = finetune.into_model();
    let (lora, weights) = trained.lora().unwrap();
    let mut loaded = trained.clone();
    loaded.attach_lora(lora, weights).unwrap();
    assert_eq!(layer(&trained), layer(&loaded));
    assert_ne!(layer(&trained), layer(&before));
}

fn a_step_moves_doras_magnitudes_too() {
    let mut llama = model(config(), None);
    llama.init_lora(&dora_config(0.1), 3).unwrap();
    let magnitudes = |llama: &Llama| -> Vec<f32> {
        let (_, weights) = llama.lora().unwrap();
        weights.into_iter().flat_map(|w| host_values(w.magnitude.unwrap())).collect()
    };
    let before = magnitudes(&llama);
    let mut finetune = Finetune::new(llama, AdamWConfig::default(), 1).unwrap();
    let first = finetune.step(&[examples(1)], 1e-2).unwrap();
    let last = (0..30).map(|_| finetune.step(&[examples(1)], 1e-2).unwrap()).last().unwrap();
    assert!(last.loss < first.loss * 0.7, "{first:?} {last:?}");
    let moved = magnitudes(finetune.model()).iter().zip(&before).filter(|(a, b)| a != b).count();
    assert_eq!(moved, before.len());
}

/// With B = 0 and magnitudes `c·‖W‖`, the output is `W x + (c − 1)·W dropout(x)`.
fn dropout_touches_only_what_dora_changes() {
    let (weight, x) = (random("w", [5, 8], 0.0), random("x", [3, 8], 0.0));
    let dropout = Dropout { probability: 0.5, key: 7 };
    let plain = host_values(Projection::new(Weight::Dense(weight.clone())).forward(x.clone()));
    for c in [1.0, 3.0] {
        let norms = weight.clone().square().sum_dim(1).sqrt().transpose(); // [1, out]
        let adapter = LoraWeights {
            module: "w".into(),
            a: random("a", [4, 8], 0.0),
            b: Tensor::zeros([5, 4], &device()),
            magnitude: Some(norms.mul_scalar(c)),
        };
        let mut projection = Projection::new(Weight::Dense(weight.clone()));
        projection.attach(AdapterId(0), &adapter, &dora_config(0.5), 2);
        let [rows, _] = x.dims();
        let mut adapters = RowAdapters::all(rows, Some(AdapterId(0)), &device());
        adapters.dropout = Some(dropout);
        let dropped = projection.lora().unwrap().dropped(x.clone(), dropout);
        assert_ne!(host_values(dropped.clone()), host_values(x.clone()));
        let changed = dropped.matmul(weight.clone().transpose()).mul_scalar(c - 1.0);
        let expected: Vec<f32> = plain.iter().zip(host_values(changed)).map(|(y, more)| y + more).collect();
        assert_close(&host_values(projection.forward_with(x.clone(), &adapters)), &expected);
    }
}

fn magnitudes_come_with_use_dora_and_fit() {
    let mut llama = model(config(), None);
    let weights = random_adapter(&llama);
    let error = llama.attach_lora(&dora_config(0.0), weights.clone()).unwrap_err().to_string();
    assert!(error.contains("use_dora true"), "{error}");
    let with = |len: usize| {
        let magnitude = Some(Tensor::ones([1, len], &device()));
        weights.iter().map(|w| LoraWeights { magnitude: magnitude.clone(), ..w.clone() }).collect::<Vec<_>>()
    };
    assert!(llama.attach_lora(&lora_config(0.0), with(64)).is_err());
    assert!(llama.attach_lora(&dora_config(0.0), with(63)).is_err());
}

/// The norm of the values, and their product with the probe `name`.
fn figures(values: &[f32], name: &str) -> [f64; 2] {
    let probe = RandomWeights::values(&format!("{name}.probe"), values.len());
    let product = |other: &[f32]| values.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let squares: f64 = product(values);
    [squares.sqrt(), product(&probe)]
}

fn assert_figures(found: [f64; 2], expected: &Value, name: &str) {
    let expected = [0, 1].map(|at| expected[at].as_f64().unwrap());
    let worst = (found[0] - expected[0]).abs().max((found[1] - expected[1]).abs());
    assert!(worst <= PEFT * expected[0], "{name}: {found:?} instead of {expected:?}");
}

fn a_step_of_each_variant_is_pefts() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/peft_variants.json")).unwrap();
    for (variant, expected) in fixture.as_object().unwrap() {
        let (use_rslora, use_dora) = (variant == "rslora", variant.starts_with("dora"));
        let lora = LoraConfig { use_rslora, use_dora, ..lora_config(0.0) };
        let llama = match variant.ends_with("with biases") {
            true => adapted(biased(), None, &lora),
            false => adapted(config(), None, &lora),
        };
        let text: Vec<u32> = (0..12).map(|i| (mix(5, i) % 61) as u32).collect();

        let found = logits(&llama, &text);
        let theirs = expected["logits"].as_array().unwrap();
        let theirs: Vec<f32> = theirs.iter().map(|x| x.as_f64().unwrap() as f32).collect();
        assert_close(&found[11 * 61..], &theirs);

        // One step whose update is the gradient: epsilon is far above it, and lr as large.
        let adamw = AdamWConfig { epsilon: 1e6, ..AdamWConfig::default() };
        let before = llama.lora().unwrap().1;
        let mut finetune = Finetune::new(llama.clone(), adamw, 1).unwrap();
        let example = Example { learned: vec![true; text.len()], tokens: text };
        let report = finetune.step(&[vec![example]], 1e6).unwrap();
        let loss = expected["loss"].as_f64().unwrap();
        assert!((report.loss / loss - 1.0).abs() < PEFT, "{variant}: {} instead of {loss}", report.loss);
        let after = finetune.into_model().lora().unwrap().1;
        let mut compared = 0;
        for (before, after) in before.into_iter().zip(after) {
            let module = before.module;
            let parts = [
                ("a", Some((before.a, after.a))),
                ("b", Some((before.b, after.b))),
                ("magnitude", before.magnitude.zip(after.magnitude)),
            ];
            for (part, pair) in parts {
                let Some((before, after)) = pair else { continue };
                let name = format!("{module}.{part}");
                let gradient = host_values(before.sub(after));
                assert_figures(figures(&gradient, &name), &expected["gradients"][&name], &name);
                compared += 1;
            }
        }
        assert_eq!(compared, expected["gradients"].as_object().unwrap().len(), "{variant}");

        let mut merged = llama;
        merged.merge_lora().unwrap();
        for (module, projection) in merged.layers.iter_mut().flat_map(|layer| layer.projections_mut()) {
            let Weight::Dense(weight) = projection.weight() else { unreachable!() };
            if lora.targets(&module) {
                let found = figures(&host_values(weight.clone()), &module);
                assert_figures(found, &expected["merged"][&module], &module);
            }
        }
    }
}
