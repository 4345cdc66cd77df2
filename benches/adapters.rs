//! Adapters per request: 32 sequences that decode together on a model of SmolLM2-135M's shape in Q4_0, without an
//! adapter, under one, and under two and none by turns.

#[path = "synthetic.rs"]
mod synthetic;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{AdapterId, Batch, CacheType, KvCache, Llama, LoraConfig, Outputs};

use synthetic::{smollm2, tokens};

const SEQUENCES: usize = 32;
const PAST: usize = 64;

/// A fresh adapter on every projection: its B is zero, which takes as long as any other.
fn load(llama: &mut Llama, seed: u64) -> AdapterId {
    let config = LoraConfig {
        r: 16,
        lora_alpha: 32.0,
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    let mut fresh = llama.clone();
    fresh.init_lora(&config, seed).expect("projections to adapt");
    let (config, weights) = fresh.lora().expect("an adapter");
    llama.load_adapter(config, weights).expect("an adapter of this model")
}

fn benches(criterion: &mut Criterion) {
    let device = engine::device::parse(engine::device::AVAILABLE[0]).expect("a backend");
    let mut llama = smollm2(30, &device);
    let (first, second) = (Some(load(&mut llama, 1)), Some(load(&mut llama, 2)));

    let mut group = criterion.benchmark_group("SmolLM2-135M Q4_0, 32 sequences");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SEQUENCES as u64));
    for (name, adapters) in [
        ("no adapter", vec![None]),
        ("one adapter", vec![first]),
        ("two adapters and none", vec![first, None, second]),
    ] {
        let mut cache = KvCache::new(llama.config(), SEQUENCES * 2 * PAST, CacheType::F16, &device);
        let tokens = tokens(PAST);
        let sequences: Vec<_> = (0..SEQUENCES).map(|i| cache.open(adapters[i % adapters.len()])).collect();
        let mut step = |tokens: &[u32]| {
            let mut batch = Batch::new();
            sequences.iter().for_each(|sequence| batch.push(*sequence, tokens, Outputs::Last));
            let logits = llama.forward(&batch, &mut cache).expect("room in the cache");
            for sequence in &sequences {
                cache.truncate(*sequence, PAST).expect("blocks of its own");
            }
            logits.into_data()
        };
        step(&tokens);
        group.bench_function(name, |bencher| bencher.iter(|| step(&tokens[..1])));
    }
    group.finish();
}

criterion_group!(adapters, benches);
criterion_main!(adapters);
