//! An adapter of ours in Python's peft: the logits that tests/fixtures/peft_load.py recorded.

use std::path::PathBuf;

use engine::{Batch, CacheType, KvCache, Outputs};
use llama::Adapter;
use serde::Deserialize;

use super::{json, smollm2, variable};

/// Largest difference of a logit in f32, as without an adapter.
const LOGIT: f32 = 2e-2;

#[derive(Deserialize)]
struct Recorded {
    adapter: PathBuf,
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

#[test]
fn an_adapter_gives_the_same_logits_in_peft() {
    let (Some(path), Some(mut llama)) = (variable("PEFT_LOGITS"), smollm2(true)) else { return };
    let recorded: Recorded = json(&path);
    Adapter::load_onto(&recorded.adapter, &mut llama, &variable("SMOLLM2_GGUF").unwrap()).unwrap();
    let mut cache = KvCache::new(llama.config(), recorded.tokens.len(), CacheType::F32, llama.device());
    let mut batch = Batch::new();
    batch.push(cache.open(llama.adapter()), &recorded.tokens, Outputs::Last);
    let logits = llama.forward(&batch, &mut cache).unwrap().into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(logits.len(), recorded.logits.len());
    let worst = logits.iter().zip(&recorded.logits).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    println!("logits differ by {worst:.2e}");
    assert!(worst <= LOGIT, "{worst}");
}
