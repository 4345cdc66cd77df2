//! stories260K: a whole small model, from every kind of file, against llama2.c.

use std::path::Path;

use engine::device::{AVAILABLE, is_gpu};
use engine::{CacheType, Example, Llama};
use llama::{CachedLlama, Checkpoint, Request, Tokenizer, generate};
use serde_json::Value;

use super::{json, reference};

/// Mean negative log-likelihood of the first 32 tokens: f32, and the four-decimal rounding of f16.
const NLL: f64 = 1e-4;

fn load(path: &Path, device: &str) -> Llama {
    let device = engine::device::parse(device).unwrap();
    let checkpoint = Checkpoint::open(path).unwrap();
    Llama::load(checkpoint.config().clone(), &mut checkpoint.weights(&device), &device).unwrap()
}

/// The greedy ids after BOS.
fn greedy(llama: &Llama, tokenizer: &Tokenizer, count: usize) -> Vec<u32> {
    let mut model = CachedLlama::new(llama.clone(), 512, CacheType::F32);
    let tokens = generate(&mut model, tokenizer, Request::new(vec![1], count)).unwrap();
    tokens.map(|token| token.unwrap().id).collect()
}

fn tokenizer(folder: &Path) -> Tokenizer {
    let checkpoint = Checkpoint::open(&folder.join("stories260K-f32.gguf")).unwrap();
    Tokenizer::from_gguf(checkpoint.gguf().unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_exact_file_tells_the_references_story() {
    let Some(folder) = reference("stories260K") else { return };
    let expected: Value = json(&folder.join("reference.json"));
    let story = ids(&expected["greedy_ids_200"]);
    let first = ids(&expected["first32_ids"]);
    let tokenizer = tokenizer(&folder);
    let files = ["stories260K-f32.gguf", "stories260K-f16.gguf", "hf"];
    let all = files.into_iter().flat_map(|file| AVAILABLE.iter().map(move |device| (file, device)));
    // Here a GPU is emulated, and reads one file.
    for (file, device) in all.filter(|(file, device)| *file == files[0] || !is_gpu(device)) {
        let llama = load(&folder.join(file), device);
        let found = greedy(&llama, &tokenizer, story.len() - 1);
        assert_eq!(found, story[1..], "{file} on {device}");
        assert_eq!(tokenizer.decode(&found, true).trim_start(), expected["greedy_text"].as_str().unwrap());
        let example = Example { learned: vec![true; first.len()], tokens: first.clone() };
        let nll = llama.nll(&[example]).unwrap().mean();
        println!("{file} on {device}: 199 of 199 greedy tokens agree, mean nll {nll:.6}");
        assert!((nll - expected["first32_mean_nll"].as_f64().unwrap()).abs() < NLL, "{file}: {nll}");
    }
}

#[test]
fn quantized_files_load_and_answer() {
    let Some(folder) = reference("stories260K") else { return };
    let expected: Value = json(&folder.join("reference.json"));
    let story = ids(&expected["greedy_ids_200"]);
    for (file, at_least) in [("stories260K-q8_0.gguf", 20), ("stories260K-q4_0.gguf", 5)] {
        let found = greedy(&load(&folder.join(file), AVAILABLE[0]), &tokenizer(&folder), 60);
        let same = found.iter().zip(&story[1..]).take_while(|(a, b)| a == b).count();
        println!("{file}: {} tokens, the first {same} as in f32", found.len());
        assert!(same >= at_least, "{file}: {same}");
    }
}
