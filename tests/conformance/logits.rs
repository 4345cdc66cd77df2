//! Logits, likelihoods and greedy continuations of SmolLM2 against transformers.

use burn::tensor::Tensor;
use engine::device::{AVAILABLE, is_gpu};
use engine::{Arithmetic, Batch, CacheType, Example, KvCache, Llama, Outputs};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{reference, smollm2, smollm2_on};

/// Largest difference of a logit in f32: sums in another order through 30 layers.
const EXACT_LOGIT: f32 = 2e-2;
/// Tokens closer than this in the reference may change places in f32.
const EXACT_GAP: f64 = 2.0 * EXACT_LOGIT as f64;
/// Mean negative log-likelihood in f32.
const EXACT_NLL: f64 = 1e-3;
/// Mean negative log-likelihood in integer arithmetic.
const INTEGER_NLL: f64 = 1e-2;
/// A greedy continuation is compared up to the first step whose two best tokens are closer than this.
const GREEDY_GAP: f64 = 0.02;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().try_into_vec().unwrap()
}

fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}

/// Logits after the last token, and the mean negative log-likelihood (NaN for a single token).
fn evaluate(llama: &Llama, tokens: &[u32]) -> (Vec<f32>, f64) {
    let mut cache = KvCache::new(llama.config(), tokens.len(), CacheType::F32, llama.device());
    let mut batch = Batch::new();
    batch.push(cache.open(None), tokens, Outputs::Last);
    let logits = values(llama.forward(&batch, &mut cache).unwrap());
    let example = Example { tokens: tokens.to_vec(), learned: vec![true; tokens.len()] };
    (logits, llama.nll(&[example]).unwrap().mean())
}

fn prompts() -> Option<(Vec<Value>, Vec<Vec<f32>>)> {
    let folder = reference("smollm2-logits")?;
    let prompts: Value =
        serde_json::from_slice(&std::fs::read(folder.join("prompts.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("last_logits.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let prompts = prompts.as_array().unwrap().clone();
    let logits = (0..prompts.len()).map(|i| {
        let bytes = tensors.tensor(&format!("p{i}.last_logits")).unwrap().data();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    });
    let logits = logits.collect();
    Some((prompts, logits))
}

#[test]
fn f32_logits_are_the_references() {
    for device in AVAILABLE {
        let (Some((prompts, expected)), Some(llama)) = (prompts(), smollm2_on(device, true)) else { return };
        // Here a GPU is emulated, and computes a part of what the others do.
        let some = if is_gpu(device) { 2 } else { prompts.len() };
        for (prompt, expected) in prompts.iter().zip(expected).take(some) {
            is_the_references(device, &llama, prompt, &expected);
        }
    }
}

fn is_the_references(device: &str, llama: &Llama, prompt: &Value, expected: &[f32]) {
    let (found, nll) = evaluate(llama, &ids(&prompt["ids"]));
    let worst = found.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    println!(
        "{device}: {:60} logits differ by {worst:.2e}, nll {nll:.5}",
        prompt["prompt"].to_string().chars().take(60).collect::<String>()
    );
    assert!(worst <= EXACT_LOGIT, "{}: {worst}", prompt["prompt"]);
    if let Some(reference) = prompt["mean_nll"].as_f64() {
        assert!((nll - reference).abs() <= EXACT_NLL, "{nll} {reference}");
    }
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| found[*b].total_cmp(&found[*a]));
    let top = prompt["top10"].as_array().unwrap();
    for (rank, entry) in top.iter().enumerate() {
        let logit = entry["logit"].as_f64().unwrap();
        let near = |i: usize| {
            top.get(i).is_some_and(|other| (other["logit"].as_f64().unwrap() - logit).abs() < EXACT_GAP)
        };
        let close = near(rank + 1) || rank.checked_sub(1).is_some_and(near) || rank == 9;
        let id = entry["id"].as_u64().unwrap() as usize;
        assert!(order[rank] == id || close, "{}: place {rank}", prompt["prompt"]);
    }
}

#[test]
fn integer_arithmetic_stays_close() {
    let (Some((prompts, _)), Some(llama)) = (prompts(), smollm2(false)) else { return };
    for prompt in &prompts {
        let (found, nll) = evaluate(&llama, &ids(&prompt["ids"]));
        assert_eq!(argmax(&found) as u64, prompt["argmax"].as_u64().unwrap(), "{}", prompt["prompt"]);
        if let Some(reference) = prompt["mean_nll"].as_f64() {
            println!("nll {nll:.5}, reference {reference:.5}");
        }
    }
    let mut exact = llama.clone();
    exact.set_arithmetic(Arithmetic::Exact);
    for prompt in &prompts {
        let tokens = ids(&prompt["ids"]);
        if tokens.len() < 2 {
            continue;
        }
        let reference = prompt["mean_nll"].as_f64().unwrap();
        let (_, nll) = evaluate(&llama, &tokens);
        assert!((nll - reference).abs() <= INTEGER_NLL, "{}: {nll} {reference}", prompt["prompt"]);
        let (_, nll) = evaluate(&exact, &tokens);
        assert!((nll - reference).abs() <= EXACT_NLL, "{}: {nll} {reference}", prompt["prompt"]);
    }
}

#[test]
fn greedy_continuations_are_the_references() {
    for device in AVAILABLE {
        continues_as_the_references(device);
    }
}

fn continues_as_the_references(device: &str) {
    let (Some(folder), Some(llama)) = (reference("smollm2-logits"), smollm2_on(device, true)) else { return };
    let chats: Value = serde_json::from_slice(&std::fs::read(folder.join("greedy.json")).unwrap()).unwrap();
    let kept = [CacheType::F32, CacheType::F16]; // the server's default is the second, where there is one
    let kept = kept.into_iter().filter(|kept| kept.is_supported(llama.device()));
    let (chat_count, steps) = if is_gpu(device) { (1, 6) } else { (usize::MAX, usize::MAX) };
    let chats = chats.as_array().unwrap();
    for (chat, kept) in
        chats.iter().take(chat_count).flat_map(|chat| kept.clone().map(move |kept| (chat, kept)))
    {
        let gaps = chat["top1_top2_gap"].as_array().unwrap();
        let compared = gaps.iter().take_while(|gap| gap.as_f64().unwrap() >= GREEDY_GAP).count().min(steps);
        let expected = ids(&chat["new_ids"]);
        let mut cache = KvCache::new(llama.config(), 512, kept, llama.device());
        let sequence = cache.open(None);
        let mut next = ids(&chat["prompt_ids"]);
        for (step, expected) in expected[..compared].iter().enumerate() {
            let mut batch = Batch::new();
            batch.push(sequence, &next, Outputs::Last);
            let token = argmax(&values(llama.forward(&batch, &mut cache).unwrap())) as u32;
            assert_eq!(token, *expected, "{}, {kept:?}, step {step}", chat["user"]);
            next = vec![token];
        }
        println!("{device}: {compared} of {} steps agree, {kept:?}: {}", expected.len(), chat["user"]);
    }
}
