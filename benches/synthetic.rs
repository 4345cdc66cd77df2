//! A model of SmolLM2-135M's shape in Q4_0: a prompt of 128 tokens, and a single token after it.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::QuantizedMatrix;
use engine::quant::Format;
use engine::{
    AttentionBias, Batch, CacheType, EngineError, KvCache, Llama, LlamaConfig, Outputs, RopeScaling,
    SequenceId, Weight, WeightSource,
};

const PROMPT: usize = 128;

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
        attention_bias: AttentionBias::None,
        mlp_bias: false,
        tie_word_embeddings: true,
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
        let values = values(Tensor::random(shape, Distribution::Normal(0.0, 0.02), &self.0));
        Ok(Weight::Quantized(QuantizedMatrix::quantize(Format::Q4_0, shape, &values, &self.0)?))
    }

    fn vector(&mut self, _name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        Ok(Tensor::ones([len], &self.0))
    }
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 values")
}

/// The logits after `tokens`, on the host.
fn step(llama: &Llama, cache: &mut KvCache, sequence: SequenceId, tokens: &[u32]) -> Vec<f32> {
    let mut batch = Batch::new();
    batch.push(sequence, tokens, Outputs::Last);
    values(llama.forward(&batch, cache).expect("room in the cache"))
}

fn benches(criterion: &mut Criterion) {
    let device = engine::device::parse(engine::device::AVAILABLE[0]).expect("a backend");
    let llama = Llama::load(config(), &mut Random(device.clone()), &device).expect("a whole model");
    let mut cache = KvCache::new(llama.config(), PROMPT + 1, CacheType::F32, &device);
    // Tokens from all over the vocabulary.
    let tokens: Vec<u32> = (0..PROMPT as u32).map(|i| i * 7919 % llama.config().vocab_size as u32).collect();

    let mut group = criterion.benchmark_group("SmolLM2-135M Q4_0");
    group.sample_size(10);
    group.throughput(Throughput::Elements(PROMPT as u64));
    group.bench_function("prefill 128", |bencher| {
        bencher.iter(|| {
            let sequence = cache.open(None);
            let logits = step(&llama, &mut cache, sequence, &tokens);
            cache.close(sequence);
            logits
        });
    });

    let sequence = cache.open(None);
    step(&llama, &mut cache, sequence, &tokens);
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode after 128", |bencher| {
        bencher.iter(|| {
            let logits = step(&llama, &mut cache, sequence, &tokens[..1]);
            cache.truncate(sequence, PROMPT).expect("blocks of its own");
            logits
        });
    });
    group.finish();
}

criterion_group!(decode, benches);
criterion_main!(decode);
