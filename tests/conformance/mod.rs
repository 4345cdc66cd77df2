//! Comparisons with other implementations, on the data in the folder that `CONFORMANCE_DATA` names.
//! Without it every test says that it was skipped.

mod architectures;
mod chat_templates;
mod devices;
mod logits;
mod lora_curve;
mod metrics;
mod minilm;
mod peft_logits;
mod sft_masks;
mod stories;
mod tokenizer;

use std::path::PathBuf;

use engine::Llama;
use llama::Checkpoint;
use llama::model::checkpoint::WeightForm;
use serde::de::DeserializeOwned;

/// A path in the reference data, or `None` after saying that the test is skipped.
fn reference(path: &str) -> Option<PathBuf> {
    variable("CONFORMANCE_DATA").map(|folder| folder.join(path))
}

/// The path that an environment variable holds, or `None` after saying that the test is skipped.
fn variable(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        println!("skipped: {name} is not set");
    }
    path
}

/// Reads a JSON file of the reference data.
fn json<T: DeserializeOwned>(path: &std::path::Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What came of the cases of one file.
struct Tally {
    name: &'static str,
    cases: usize,
    failures: Vec<String>,
}

impl Tally {
    fn new(name: &'static str) -> Self {
        Self { name, cases: 0, failures: Vec::new() }
    }

    /// Counts a case: it passed, or the reason why not.
    fn count(&mut self, case: impl std::fmt::Display, outcome: Result<(), String>) {
        self.cases += 1;
        if let Err(reason) = outcome {
            self.failures.push(format!("{case}: {reason}"));
        }
    }

    /// Prints the line of the table and the failing cases, then checks that none is new.
    fn finish(self, expected_failures: &[&str]) {
        let Self { name, cases, failures } = self;
        println!("| {name} | {cases} cases | {} passed |", cases - failures.len());
        for failure in &failures {
            println!("    {failure}");
        }
        assert!(cases > 0, "{name}: no case");
        let unexpected: Vec<_> = failures
            .iter()
            .filter(|failure| !expected_failures.iter().any(|known| failure.starts_with(known)))
            .collect();
        assert!(unexpected.is_empty(), "{name}: {unexpected:#?}");
    }
}

/// Compares what came with what should.
fn same<T: PartialEq + std::fmt::Debug>(actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{actual:?} instead of {expected:?}")) }
}

/// SmolLM2-135M-Instruct in Q4_1 (`SMOLLM2_GGUF`), as it is or dequantized to f32, on the default device.
fn smollm2(dequantized: bool) -> Option<Llama> {
    smollm2_on(engine::device::AVAILABLE[0], dequantized)
}

/// The same on a device.
fn smollm2_on(device: &str, dequantized: bool) -> Option<Llama> {
    let checkpoint = Checkpoint::open(&variable("SMOLLM2_GGUF")?).unwrap();
    let device = engine::device::parse(device).unwrap();
    let form = if dequantized { WeightForm::F32 } else { WeightForm::Stored };
    let mut weights = checkpoint.weights(&device).with_form(form);
    Some(Llama::load(checkpoint.config().clone(), &mut weights, &device).unwrap())
}
