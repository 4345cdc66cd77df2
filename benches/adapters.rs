//! Adapters per request: 32 sequences that decode together on a model of SmolLM2-135M's shape in Q4_0, without an
//! adapter, under one, and under two and none by turns.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::QuantizedMatrix;
use engine::quant::Format;
use engine::{
    AdapterId, AttentionBias, Batch, CacheType, EngineError, KvCache, Llama, LlamaConfig, LoraConfig,
    Outputs, RopeScaling, Weight, WeightSource,
};

const SEQUENCES: usize = 32;
const PAST: usize = 64;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 49152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: RopeScaling::None,
        sliding_window: None,
        tie_word_embeddings: true,
        attention_bias: AttentionBias::None,
        mlp_bias: false,
    }
}

/// Weights as a model starts its training with.
struct Random(Device);

impl WeightSource for Random {
    type Error = EngineError;

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn matrix(&mut self, _name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
        let values = Tensor::<2>::random(shape, Distribution::Normal(0.0, 0.02), &self.0);
        let values: Vec<f32> = values.into_data().try_into_vec().expect("f32 values");
        Ok(Weight::Quantized(QuantizedMatrix::quantize(Format::Q4_0, shape, &values, &self.0)?))
    }

    fn vector(&mut self, _name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        Ok(Tensor::ones([len], &self.0))
    }
}

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
    let mut llama = Llama::load(config(), &mut Random(device.clone()), &device).expect("a whole model");
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
        let tokens: Vec<u32> = (0..PAST as u32).map(|i| i * 7919 % 49152).collect();
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
