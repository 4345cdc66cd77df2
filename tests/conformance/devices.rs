//! The devices of a build and a machine against each other, where no other implementation has numbers.

use engine::device::AVAILABLE;
use engine::{AdamWConfig, Example, Finetune, Llama, LoraConfig};
use llama::Checkpoint;
use serde_json::Value;

use super::{json, reference};

/// How far a loss may be from the first device's: f32 sums in other orders, through 16 updates.
const CURVE: f64 = 1e-3;

/// The losses of 16 steps with dropout, whose masks every device must make alike.
fn losses(llama: Llama, examples: &[Example]) -> Vec<f64> {
    let mut llama = llama;
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.1,
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    llama.init_lora(&config, 7).unwrap();
    let mut finetune = Finetune::new(llama, AdamWConfig::default(), 7).unwrap();
    (0..16).map(|_| finetune.step(&[examples.to_vec()], 1e-2).unwrap().loss).collect()
}

#[test]
fn every_device_learns_alike() {
    let Some(folder) = reference("stories260K") else { return };
    let expected: Value = json(&folder.join("reference.json"));
    let story: Vec<u32> = serde_json::from_value(expected["greedy_ids_200"].clone()).unwrap();
    let example = |tokens: &[u32]| Example { tokens: tokens.into(), learned: vec![true; tokens.len()] };
    let examples: Vec<Example> = story.chunks(50).map(example).collect();
    let mut curves = AVAILABLE.iter().map(|name| {
        let device = engine::device::parse(name).unwrap();
        let checkpoint = Checkpoint::open(&folder.join("stories260K-f32.gguf")).unwrap();
        let llama = Llama::load(checkpoint.config().clone(), &mut checkpoint.weights(&device), &device);
        (name, losses(llama.unwrap(), &examples))
    });
    let (_, first) = curves.next().expect("a device");
    assert!(first[15] < 0.9 * first[0], "nothing is learned: {first:?}");
    for (name, curve) in curves {
        let off = first.iter().zip(&curve).map(|(a, b)| (a - b).abs() / a).fold(0.0, f64::max);
        println!("{name}: 16 losses from {:.4} to {:.4}, off by at most {off:.1e}", curve[0], curve[15]);
        assert!(off <= CURVE, "{name}: {curve:?} instead of {first:?}");
    }
}
