//! Every device that the build and the machine have, side by side: `cargo bench --bench devices`, with
//! `--features wgpu` or `cuda` for GPUs. All models are made up.

#[path = "synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use engine::quant::Format;
use engine::{
    AdamWConfig, Batch, CacheType, EngineError, Example, Finetune, KvCache, LoraConfig, Outputs,
    QuantizedMatrix, device,
};
use rag::bert::{Bert, BertConfig, WordRows};

use synthetic::{Random, smollm2, tokens, values};

const PROMPT: usize = 128;
/// Of the model that is trained: a step of all 30 layers takes minutes on a GPU that is emulated.
const TRAINED_LAYERS: usize = 4;

/// The devices, and what is left out and why, by name.
fn devices() -> Vec<(String, Device)> {
    for name in device::NAMES {
        if let Err(refused) = device::parse(name) {
            println!("skipped: {refused}");
        }
    }
    let opened = device::list().into_iter().filter_map(|found| match device::parse(&found.name) {
        Ok(device) => {
            println!("{}: {}", found.name, found.info.description);
            Some((found.name, device))
        }
        Err(refused) => {
            println!("skipped: {refused}");
            None
        }
    });
    opened.collect()
}

fn uniform<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device)
}

/// A projection of the MLP: one row, as when a token is decoded, and a prompt's.
fn quantized_matmul(criterion: &mut Criterion, devices: &[(String, Device)]) {
    let mut group = criterion.benchmark_group("quantized_matmul");
    let [rows, cols] = [1536, 576];
    for (name, device) in devices {
        let weights = values(uniform([rows, cols], device));
        for format in [Format::Q4_0, Format::Q8_0] {
            let matrix =
                QuantizedMatrix::quantize(format, [rows, cols], &weights, device).expect("whole blocks");
            for count in [1, PROMPT] {
                let x = uniform([count, cols], device);
                group.throughput(Throughput::Elements((count * rows * cols) as u64));
                group.bench_function(
                    BenchmarkId::new(format!("{} x {count}", format.name()), name),
                    |bencher| {
                        bencher.iter(|| values(matrix.matmul(x.clone())));
                    },
                );
            }
        }
    }
    group.finish();
}

/// Causal attention of a sequence.
fn attention(criterion: &mut Criterion, devices: &[(String, Device)]) {
    let mut group = criterion.benchmark_group("attention");
    for (name, device) in devices {
        let (q, k) = (uniform([PROMPT, 9, 64], device), uniform([PROMPT, 3, 64], device));
        group.throughput(Throughput::Elements(PROMPT as u64));
        group.bench_function(BenchmarkId::new("causal 128", name), |bencher| {
            bencher.iter(|| {
                let y = engine::ops::causal_attention(q.clone(), k.clone(), k.clone(), &[PROMPT], None);
                y.into_data()
            });
        });
    }
    group.finish();
}

/// A prompt of 128 tokens, and a single token after it.
fn decode_and_prefill(criterion: &mut Criterion, devices: &[(String, Device)]) {
    for (name, device) in devices {
        let llama = smollm2(30, device);
        let mut cache = KvCache::new(llama.config(), 2 * PROMPT, CacheType::F32, device);
        let tokens = tokens(PROMPT);
        let mut group = criterion.benchmark_group("prefill");
        group.sample_size(10).throughput(Throughput::Elements(PROMPT as u64));
        let mut number = 0;
        group.bench_function(BenchmarkId::new("128 tokens", name), |bencher| {
            bencher.iter(|| {
                let mut tokens = tokens.clone();
                (number, tokens[0]) = (number + 1, number); // shares no prefix with the one before
                let sequence = cache.open(None);
                let mut batch = Batch::new();
                batch.push(sequence, &tokens, Outputs::Last);
                let logits = values(llama.forward(&batch, &mut cache).expect("room in the cache"));
                cache.close(sequence);
                logits
            });
        });
        group.finish();

        let sequence = cache.open(None);
        let mut step = |tokens: &[u32]| {
            let mut batch = Batch::new();
            batch.push(sequence, tokens, Outputs::Last);
            let logits = values(llama.forward(&batch, &mut cache).expect("room in the cache"));
            cache.truncate(sequence, PROMPT).expect("blocks of its own");
            logits
        };
        step(&tokens);
        let mut group = criterion.benchmark_group("decode");
        group.sample_size(10).throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("1 token after 128", name), |bencher| {
            bencher.iter(|| step(&tokens[..1]));
        });
        group.finish();
    }
}

/// A step of QLoRA on 4 layers: 2 sequences of 64 tokens.
fn train_step(criterion: &mut Criterion, devices: &[(String, Device)]) {
    let mut group = criterion.benchmark_group("train_step");
    group.sample_size(10);
    for (name, device) in devices {
        let mut llama = smollm2(TRAINED_LAYERS, device);
        let config = LoraConfig { target_modules: vec!["all-linear".into()], ..LoraConfig::default() };
        llama.init_lora(&config, 1).expect("projections to adapt");
        let mut finetune = Finetune::new(llama, AdamWConfig::default(), 1).expect("an adapter");
        let examples: Vec<Example> = tokens(128)
            .chunks(64)
            .map(|part| Example { tokens: part.into(), learned: vec![true; 64] })
            .collect();
        group.throughput(Throughput::Elements(128));
        group.bench_function(BenchmarkId::new("2 x 64, 4 layers", name), |bencher| {
            bencher.iter(|| finetune.step(std::slice::from_ref(&examples), 1e-3).expect("finite gradients"));
        });
    }
    group.finish();
}

/// Words that all have the same row, of that many numbers: what they are does not change the time.
#[derive(Debug)]
struct OneRow(usize);

impl WordRows for OneRow {
    fn rows(&self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        Ok(vec![0.1; tokens.len() * self.0])
    }
}

/// An encoder of MiniLM's shape: a question of 16 tokens.
fn embed(criterion: &mut Criterion, devices: &[(String, Device)]) {
    let mut group = criterion.benchmark_group("embed");
    for (name, device) in devices {
        let config = BertConfig {
            vocab_size: 30522,
            hidden_size: 384,
            intermediate_size: 1536,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: "gelu".into(),
            position_embedding_type: "absolute".into(),
            model_type: "bert".into(),
            pad_token_id: None,
        };
        let words = Arc::new(OneRow(config.hidden_size));
        let bert = Bert::load(config, words, &mut Random::dense(device), device).expect("a whole model");
        let tokens: Vec<u32> = (1000..1016).collect();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("16 tokens", name), |bencher| {
            bencher.iter(|| values(bert.forward(&tokens, &[16]).expect("a short text")));
        });
    }
    group.finish();
}

/// The medians that criterion has just left, a row a measurement and a column a device.
fn summary(devices: &[(String, Device)]) {
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), std::path::PathBuf::from);
    let mut rows: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for group in ["quantized_matmul", "attention", "decode", "prefill", "train_step", "embed"] {
        let Ok(names) = std::fs::read_dir(folder.join("criterion").join(group)) else { continue };
        for name in names.flatten().filter(|name| name.file_name() != "report") {
            let row = format!("{group} {}", name.file_name().to_string_lossy());
            let medians =
                devices.iter().map(|(device, _)| median(&name.path().join(device.replace(':', "_"))));
            rows.insert(row, medians.collect());
        }
    }
    let width = rows.keys().map(String::len).max().unwrap_or(0);
    print!("\n{:width$}", "median time");
    devices.iter().for_each(|(name, _)| print!("{name:>14}"));
    for (row, medians) in rows.iter().filter(|(_, medians)| medians.iter().any(Option::is_some)) {
        print!("\n{row:width$}");
        for nanoseconds in medians {
            let cell = nanoseconds.map_or("".into(), |ns| format!("{:.3?}", Duration::from_nanos(ns as u64)));
            print!("{cell:>14}");
        }
    }
    println!();
}

fn median(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join("new/estimates.json")).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?["median"]["point_estimate"].as_f64()
}

fn main() {
    let devices = devices();
    let mut criterion = Criterion::default().configure_from_args();
    quantized_matmul(&mut criterion, &devices);
    attention(&mut criterion, &devices);
    decode_and_prefill(&mut criterion, &devices);
    train_step(&mut criterion, &devices);
    embed(&mut criterion, &devices);
    criterion.final_summary();
    summary(&devices);
}
