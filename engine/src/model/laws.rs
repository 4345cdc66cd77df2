//! The laws of the model, on a random two-layer one: batching, paging and chunking change nothing,
//! an adapter starts as nothing, merging is adding.

use burn::tensor::{Tensor, TensorData};

use crate::adapter::lora::{LoraConfig, LoraWeights};
use crate::cache::batch::{Batch, Outputs};
use crate::cache::kv_cache::{CacheType, KvCache};
use crate::config::{AttentionBias, LlamaConfig, RopeScaling};
use crate::error::EngineError;
use crate::every_backend::{device, on_every_backend};
use crate::linear::quantized_matrix::QuantizedMatrix;
use crate::linear::weight::{Weight, WeightSource};
use crate::model::llama::Llama;
use crate::ops::host_values::host_values;
use crate::quant::Format;
use crate::rng::mix;

on_every_backend!(
    chunks_batches_and_fragmented_blocks_change_nothing,
    a_truncated_sequence_continues_as_if_the_rest_had_never_been,
    a_full_cache_refuses_a_step_and_stays_as_it_was,
    a_token_outside_the_vocabulary_is_an_error,
    a_sliding_window_hides_what_is_further_back,
    a_fresh_adapter_is_the_identity,
    merging_is_adding_and_is_idempotent,
    merging_into_quantized_weights_is_refused,
    an_adapter_for_another_model_is_refused,
);

/// f32 sums in another order, through two layers.
const REORDERED: f32 = 2e-4;

/// Weights by name, pseudo-random.
pub(crate) struct RandomWeights {
    format: Option<Format>,
}

impl RandomWeights {
    pub(crate) fn dense() -> Self {
        Self { format: None }
    }

    pub(crate) fn values(name: &str, len: usize) -> Vec<f32> {
        let seed = name.bytes().fold(7, |seed, byte| mix(seed, u64::from(byte)));
        (0..len as u64).map(|i| ((mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.6).collect()
    }
}

impl WeightSource for RandomWeights {
    type Error = EngineError;

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, EngineError> {
        let values = Self::values(name, shape[0] * shape[1]);
        Ok(match self.format {
            Some(format) => Weight::Quantized(QuantizedMatrix::quantize(format, shape, &values, &device())?),
            None => Weight::Dense(Tensor::from_data(TensorData::new(values, shape), &device())),
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, EngineError> {
        let values = Self::values(name, len).into_iter().map(|value| 1.0 + value).collect();
        Ok(Tensor::from_data(TensorData::new(values, [len]), &device()))
    }
}

pub(crate) fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 61,
        hidden_size: 64,
        intermediate_size: 96,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        rope_scaling: RopeScaling::None,
        sliding_window: None,
        attention_bias: AttentionBias::None,
        mlp_bias: false,
        tie_word_embeddings: false,
    }
}

/// The same with a bias on every projection.
pub(crate) fn biased() -> LlamaConfig {
    LlamaConfig { attention_bias: AttentionBias::All, mlp_bias: true, ..config() }
}

pub(crate) fn model(config: LlamaConfig, format: Option<Format>) -> Llama {
    Llama::load(config, &mut RandomWeights { format }, &device()).unwrap()
}

pub(crate) fn lora_config(dropout: f32) -> LoraConfig {
    LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: dropout,
        target_modules: vec!["q_proj".into(), "v_proj".into(), "down_proj".into()],
        ..LoraConfig::default()
    }
}

/// An adapter that does something: random A and B.
pub(crate) fn random_adapter(llama: &Llama) -> Vec<LoraWeights> {
    let mut fresh = llama.clone();
    fresh.init_lora(&lora_config(0.0), 1).unwrap();
    let (_, weights) = fresh.lora().unwrap();
    let random_b = |weights: LoraWeights| {
        let values = RandomWeights::values(&weights.module, weights.b.shape().num_elements());
        let b = Tensor::from_data(TensorData::new(values, weights.b.dims()), &device());
        LoraWeights { b, ..weights }
    };
    weights.into_iter().map(random_b).collect()
}

pub(crate) fn tokens(len: usize, seed: u64) -> Vec<u32> {
    (0..len as u64).map(|i| (mix(seed, i) % 61) as u32).collect()
}

/// Logits of every token, the sequence alone and in one piece.
pub(crate) fn logits(llama: &Llama, tokens: &[u32]) -> Vec<f32> {
    let mut cache = KvCache::new(llama.config(), 256, CacheType::F32, &device());
    let sequence = cache.open(llama.adapter());
    let mut batch = Batch::new();
    batch.push(sequence, tokens, Outputs::All);
    host_values(llama.forward(&batch, &mut cache).unwrap())
}

pub(crate) fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f32, |max, b| max.max(b.abs()));
    let worst = a.iter().zip(b).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(worst <= REORDERED * largest.max(1.0), "differ by {worst}");
}

fn chunks_batches_and_fragmented_blocks_change_nothing() {
    for format in [None, Some(Format::Q8_0)] {
        let llama = model(config(), format);
        let (a, b) = (tokens(70, 1), tokens(41, 2));
        let (alone_a, alone_b) = (logits(&llama, &a), logits(&llama, &b));

        let mut cache = KvCache::new(llama.config(), 256, CacheType::F32, &device());
        let (first, second) = (cache.open(llama.adapter()), cache.open(None));
        let mut found = (Vec::new(), Vec::new());
        // Uneven chunks, both sequences in every batch, so that their blocks interleave.
        let (mut at_a, mut at_b) = (0, 0);
        for (len_a, len_b) in [(33, 1), (1, 30), (20, 9), (16, 1)] {
            let mut batch = Batch::new();
            batch.push(first, &a[at_a..at_a + len_a], Outputs::All);
            batch.push(second, &b[at_b..at_b + len_b], Outputs::All);
            let rows = host_values(llama.forward(&batch, &mut cache).unwrap());
            let (rows_a, rows_b) = rows.split_at(len_a * 61);
            found.0.extend_from_slice(rows_a);
            found.1.extend_from_slice(rows_b);
            (at_a, at_b) = (at_a + len_a, at_b + len_b);
        }
        assert_close(&found.0, &alone_a);
        assert_close(&found.1, &alone_b);
    }
}

fn a_truncated_sequence_continues_as_if_the_rest_had_never_been() {
    let llama = model(config(), None);
    let text = tokens(50, 3);
    let mut cache = KvCache::new(llama.config(), 64, CacheType::F32, &device());
    let sequence = cache.open(llama.adapter());
    let step = |cache: &mut KvCache, tokens: &[u32]| {
        let mut batch = Batch::new();
        batch.push(sequence, tokens, Outputs::Last);
        host_values(llama.forward(&batch, cache).unwrap())
    };
    step(&mut cache, &text[..40]);
    step(&mut cache, &[1, 2, 3]);
    cache.truncate(sequence, 40).unwrap();
    let found = step(&mut cache, &text[40..]);
    assert_close(&found, &logits(&llama, &text)[49 * 61..]);
}

fn a_full_cache_refuses_a_step_and_stays_as_it_was() {
    let llama = model(config(), None);
    let mut cache = KvCache::new(llama.config(), 32, CacheType::F32, &device());
    let sequence = cache.open(llama.adapter());
    let mut batch = Batch::new();
    batch.push(sequence, &tokens(33, 4), Outputs::Last);
    assert!(matches!(llama.forward(&batch, &mut cache), Err(EngineError::CacheFull { needed: 2, free: 1 })));
    assert_eq!((cache.len(sequence), cache.free()), (0, 32));
}

fn a_token_outside_the_vocabulary_is_an_error() {
    let llama = model(config(), None);
    let mut cache = KvCache::new(llama.config(), 32, CacheType::F32, &device());
    let mut batch = Batch::new();
    batch.push(cache.open(llama.adapter()), &[61], Outputs::Last);
    assert!(matches!(llama.forward(&batch, &mut cache), Err(EngineError::Token { token: 61, .. })));
}

fn a_sliding_window_hides_what_is_further_back() {
    let windowed = model(LlamaConfig { sliding_window: Some(4), num_hidden_layers: 1, ..config() }, None);
    let mut text = tokens(12, 6);
    let before = logits(&windowed, &text);
    text[7] = (text[7] + 1) % 61; // 4 positions before the last: outside its window of 4
    let after = logits(&windowed, &text);
    assert_eq!(before[11 * 61..], after[11 * 61..]);
    assert_ne!(before[10 * 61..11 * 61], after[10 * 61..11 * 61]);
}

fn a_fresh_adapter_is_the_identity() {
    let mut llama = model(config(), None);
    let before = logits(&llama, &tokens(9, 7));
    llama.init_lora(&lora_config(0.0), 3).unwrap();
    assert_eq!(logits(&llama, &tokens(9, 7)), before);
}

fn merging_is_adding_and_is_idempotent() {
    let mut llama = model(config(), None);
    let plain = logits(&llama, &tokens(9, 8));
    llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
    let adapted = logits(&llama, &tokens(9, 8));
    assert!(plain.iter().zip(&adapted).any(|(a, b)| (a - b).abs() > 0.1), "the adapter does nothing");
    llama.merge_lora().unwrap();
    let merged = logits(&llama, &tokens(9, 8));
    assert_close(&merged, &adapted);
    llama.merge_lora().unwrap();
    assert_eq!(logits(&llama, &tokens(9, 8)), merged);
}

fn merging_into_quantized_weights_is_refused() {
    let mut llama = model(config(), Some(Format::Q8_0));
    llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
    assert!(llama.merge_lora().is_err());
    assert!(llama.lora().is_some());
    llama.dequantize();
    llama.merge_lora().unwrap();
}

fn an_adapter_for_another_model_is_refused() {
    let mut llama = model(config(), None);
    let other = model(LlamaConfig { hidden_size: 128, head_dim: 32, ..config() }, None);
    let error = llama.attach_lora(&lora_config(0.0), random_adapter(&other)).unwrap_err();
    assert!(error.to_string().contains("q_proj"), "{error}");
    let missing = LoraConfig { target_modules: vec!["c_attn".into()], ..lora_config(0.0) };
    assert!(llama.init_lora(&missing, 1).unwrap_err().to_string().contains("c_attn"));
    assert!(llama.lora().is_none());
}
