//! The law of rows: a token's logits are the same bits alone and in any batch, under any cut of its sequence, with a
//! shared prefix or without, beside any adapters, by any number of threads.

use crate::adapter::AdapterId;
use crate::adapter::lora::{LoraConfig, LoraWeights};
use crate::cache::batch::{Batch, Outputs};
use crate::cache::kv_cache::{CacheType, KvCache};
use crate::config::LlamaConfig;
use crate::every_backend::{device, on_every_backend};
use crate::model::laws::{RandomWeights, config, lora_config, model, random_adapter, tokens};
use crate::model::llama::Llama;
use crate::ops::host_values::host_values;
use crate::ops::quantized::Arithmetic;
use crate::quant::Format;
use crate::rng::mix;
use crate::threads;
use burn::tensor::{Tensor, TensorData};

// The promise is the CPU kernels': other backends sum as they like.
on_every_backend!(
    ; only flex:
    rows_of_dense_models_are_their_own,
    rows_of_models_in_blocks_are_their_own,
    rows_of_models_in_super_blocks_are_their_own,
    rows_of_nf4_models_are_their_own,
);

/// Random draws, the same every time.
struct Draws(u64, u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.1 += 1;
        (mix(self.0, self.1) % end as u64) as usize
    }
}

/// Rows of whole super-blocks, and enough columns for more than one segment of a sum.
fn wide(tied: bool) -> LlamaConfig {
    LlamaConfig {
        hidden_size: 256,
        intermediate_size: 512,
        num_attention_heads: 8,
        num_key_value_heads: 2,
        head_dim: 32,
        tie_word_embeddings: tied,
        ..config()
    }
}

/// The model, and what its sequences may be computed under: nothing, LoRA on some projections, DoRA on all.
fn adapted(mut llama: Llama) -> (Llama, [Option<AdapterId>; 3]) {
    let some = llama.load_adapter(&lora_config(0.0), random_adapter(&llama)).unwrap();
    let dora =
        LoraConfig { r: 20, use_dora: true, target_modules: vec!["all-linear".into()], ..lora_config(0.0) };
    let mut fresh = llama.clone();
    fresh.init_lora(&dora, 1).unwrap();
    let (dora, weights) = fresh.lora().unwrap();
    let drawn = |w: LoraWeights| {
        let values = RandomWeights::values(&w.module, w.b.shape().num_elements());
        let b = Tensor::from_data(TensorData::new(values, w.b.dims()), &device()).mul_scalar(0.1);
        LoraWeights { b, magnitude: w.magnitude.map(|m| m.mul_scalar(1.2)), ..w }
    };
    let all = llama.load_adapter(dora, weights.into_iter().map(drawn).collect()).unwrap();
    (llama, [None, Some(some), Some(all)])
}

struct Sequence {
    tokens: Vec<u32>,
    adapter: Option<AdapterId>,
    /// Bits of every token's logits.
    expected: Vec<Vec<u32>>,
}

fn bits(logits: Tensor<2>) -> Vec<Vec<u32>> {
    let [_, vocab] = logits.dims();
    let values = host_values(logits);
    values.chunks(vocab).map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Alone, in one piece, on one thread.
fn alone(llama: &Llama, tokens: &[u32], adapter: Option<AdapterId>, kept: CacheType) -> Vec<Vec<u32>> {
    threads::set(1);
    let mut cache = KvCache::new(llama.config(), tokens.len(), kept, &device());
    let mut batch = Batch::new();
    batch.push(cache.open(adapter), tokens, Outputs::All);
    bits(llama.forward(&batch, &mut cache).unwrap())
}

/// Runs a random schedule of five sequences, of which some begin alike.
fn check(llama: &Llama, adapters: [Option<AdapterId>; 3], seed: u64) {
    let mut draws = Draws(seed, 0);
    let kept = [CacheType::F32, CacheType::F16][draws.below(2)];
    let prefix = tokens(33 + draws.below(40), seed);
    let mut sequences: Vec<Sequence> = (0..5)
        .map(|number| {
            let own = tokens(1 + draws.below(50), seed ^ (number + 1));
            let tokens = if draws.below(2) == 0 { [&prefix[..], &own].concat() } else { own };
            let adapter = adapters[draws.below(3)];
            Sequence { expected: alone(llama, &tokens, adapter, kept), tokens, adapter }
        })
        .collect();

    let mut cache = KvCache::new(llama.config(), 1024, kept, &device());
    let mut open = Vec::new();
    while !sequences.is_empty() || !open.is_empty() {
        if open.is_empty() || draws.below(3) == 0 {
            open.extend(sequences.pop().map(|s| (cache.open_with(s.adapter, &s.tokens), s)));
        }
        threads::set(draws.below(4));
        let (mut batch, mut expected) = (Batch::new(), Vec::new());
        for (id, sequence) in &open {
            let left = &sequence.tokens[cache.len(*id)..];
            let most = [1, 2, 7, 40][draws.below(4)];
            let len =
                if open.len() > 1 { draws.below(most + 1) } else { 1 + draws.below(most) }.min(left.len());
            let (outputs, rows) = match draws.below(4) {
                0 => (Outputs::Last, len.min(1)),
                1 => (Outputs::Tail(2), len.min(2)),
                _ => (Outputs::All, len),
            };
            if len > 0 {
                batch.push(*id, &left[..len], outputs);
                let end = cache.len(*id) + len;
                expected.extend_from_slice(&sequence.expected[end - rows..end]);
            }
        }
        if !batch.is_empty() {
            let found = bits(llama.forward(&batch, &mut cache).unwrap());
            assert!(found == expected, "other bits in schedule {seed}");
        }
        open.retain(|(id, sequence)| {
            let more = cache.len(*id) < sequence.tokens.len();
            if !more {
                cache.close(*id);
            }
            more
        });
    }
    threads::set(0);
}

fn holds(format: Option<Format>, arithmetic: Arithmetic, schedules: u64) {
    for tied in [false, true] {
        let mut llama = model(wide(tied), format);
        llama.set_arithmetic(arithmetic);
        let (llama, adapters) = adapted(llama);
        let text = tokens(5, 1);
        let [base, some, all] = adapters.map(|adapter| alone(&llama, &text, adapter, CacheType::F32));
        assert!(base != some && some != all && base != all, "an adapter does nothing");
        (0..schedules).for_each(|seed| check(&llama, adapters, seed * 2 + u64::from(tied)));
    }
}

fn rows_of_dense_models_are_their_own() {
    holds(None, Arithmetic::default(), 60);
}

fn rows_of_models_in_blocks_are_their_own() {
    for format in [Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0] {
        holds(Some(format), Arithmetic::Integer, 5);
    }
    holds(Some(Format::Q4_0), Arithmetic::Exact, 5);
}

fn rows_of_models_in_super_blocks_are_their_own() {
    for format in [Format::Q4_K, Format::Q5_K, Format::Q6_K] {
        holds(Some(format), Arithmetic::Integer, 5);
    }
    holds(Some(Format::Q4_K), Arithmetic::Exact, 5);
}

fn rows_of_nf4_models_are_their_own() {
    holds(Some(Format::NF4), Arithmetic::Integer, 10);
}
