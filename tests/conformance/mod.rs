//! Against the numbers of other implementations. The data is found through `CONFORMANCE_DATA`, the
//! models through variables of their own; a test whose data is not there says so and passes.

mod logits;
mod minilm;

use std::path::PathBuf;

use engine::Llama;
use llama::Checkpoint;

/// The folder `name` of the reference data.
fn reference(name: &str) -> Option<PathBuf> {
    variable("CONFORMANCE_DATA").map(|root| root.join(name))
}

/// The path that an environment variable holds.
fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        println!("skipped: {name} is not set");
    }
    value.map(PathBuf::from)
}

/// SmolLM2-135M-Instruct in Q4_1 (`SMOLLM2_GGUF`), as it is or dequantized to f32.
fn smollm2(dequantized: bool) -> Option<Llama> {
    let checkpoint = Checkpoint::open(&variable("SMOLLM2_GGUF")?).unwrap();
    let device = engine::device::parse(engine::device::AVAILABLE[0]).unwrap();
    let mut weights = checkpoint.weights(&device).dequantized(dequantized);
    Some(Llama::load(checkpoint.config().clone(), &mut weights, &device).unwrap())
}
