//! `--dry-run`: what would be trained, and the time and memory it would take.

use std::time::{Duration, Instant};

use anyhow::Result;
use engine::{AdamWConfig, Example, Finetune, Llama};

use crate::cli::{Base, TrainArgs};
use crate::data::Data;
use crate::peak_memory;
use crate::plan::{Memory, Shape};
use crate::progress::clock;
use crate::schedule::Schedule;

/// Prints the plan of a run of `total` steps, after a trial step of its largest micro-batch. Nothing is
/// written.
pub fn print(
    llama: Llama,
    data: &Data,
    schedule: &Schedule,
    total: u64,
    base: Base,
    args: &TrainArgs,
) -> Result<()> {
    let (mut tokens, mut learned) = (0, 0);
    let mut largest: (Shape, Vec<usize>) = Default::default();
    let all = usize::try_from(total).unwrap_or(usize::MAX);
    for batch in schedule.steps().take(all).flatten() {
        let shape = Shape::of(&data.examples(&batch));
        tokens += shape.tokens;
        learned += shape.learned;
        if shape.tokens > largest.0.tokens {
            largest = (shape, batch);
        }
    }
    let (shape, batch) = largest;
    let (size, config) = (llama.footprint(), llama.config().clone());
    let adapters = llama.lora().map(|(_, adapters)| adapters).unwrap_or_default();
    let inputs = adapters.iter().map(|adapter| adapter.a.dims()[1]).sum();
    let mut memory = Memory::new(&config, &size, inputs, shape, base == Base::Nf4);
    if args.gradient_checkpointing {
        memory = memory.checkpointed(&config, shape);
    }
    let trial = Trial::run(llama, data.examples(&batch), args, data)?;

    let evaluations = match data.validation.is_empty() {
        true => 0,
        false => 2 + args.run.eval_steps.map_or(0, |steps| total.saturating_sub(1) / steps),
    };
    let held_back = Shape::of(&data.validation).tokens as f64;
    let seconds = trial.step * tokens as f64 / shape.tokens.max(1) as f64
        + trial.evaluation * held_back * evaluations as f64;

    let share = 100.0 * size.trainable as f64 / (size.parameters + size.trainable) as f64;
    println!(
        "model   {}: {} parameters, base {}",
        args.model,
        grouped(size.parameters),
        format!("{base:?}").to_lowercase()
    );
    println!("adapter {} trainable parameters, {share:.3} % of all", grouped(size.trainable));
    println!(
        "steps   {total}: {:.1} passes over {} examples in {} of {} rows a step; {} tokens, {} of them learned",
        total as f64 / schedule.steps_per_epoch().max(1) as f64,
        grouped(schedule.examples),
        args.grad_accum,
        args.batch_size,
        grouped(tokens),
        grouped(learned),
    );
    let mib = |bytes: usize| (bytes as f64 / f64::from(1 << 20)).round();
    let Memory { process, weights, optimizer, activations, logits, loading } = memory;
    println!(
        "memory  {} MiB at the peak, as estimated: process {}; weights {}, optimizer {}, activations {}, \
         logits {}; or loading {}",
        mib(memory.peak()),
        mib(process),
        mib(weights),
        mib(optimizer),
        mib(activations),
        mib(logits),
        mib(loading),
    );
    let Shape { rows, tokens, .. } = shape;
    let reached = trial.peak_mib.map_or(String::new(), |mib| format!(", and {mib:.0} MiB"));
    println!("trial   the largest micro-batch, {rows} rows of {tokens} tokens: {:.2} s{reached}", trial.step);
    println!(
        "time    {} on this machine, with {evaluations} evaluations",
        clock(Duration::from_secs_f64(seconds))
    );
    Ok(())
}

/// Time and memory of the trial step.
struct Trial {
    /// Seconds of the step.
    step: f64,
    /// Seconds per token in evaluation.
    evaluation: f64,
    /// The most memory so far, where the system tells.
    peak_mib: Option<f64>,
}

impl Trial {
    fn run(llama: Llama, batch: Vec<Example>, args: &TrainArgs, data: &Data) -> Result<Self> {
        let start = Instant::now();
        let mut evaluation = 0.0;
        if let Some(example) = data.validation.first() {
            llama.nll(std::slice::from_ref(example))?;
            evaluation = start.elapsed().as_secs_f64() / example.tokens.len().max(1) as f64;
        }
        let finetune = Finetune::new(llama, AdamWConfig::default(), 0)?;
        let mut finetune = finetune.with_gradient_checkpointing(args.gradient_checkpointing);
        let start = Instant::now();
        finetune.step(&[batch], 0.0)?;
        Ok(Self { step: start.elapsed().as_secs_f64(), evaluation, peak_mib: peak_memory::mib() })
    }
}

/// A number with separators, as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group));
    groups.fold(head.to_owned(), |text, group| text + "," + &group)
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 460_800, 1_234_567].map(grouped),
            ["0", "999", "1,000", "460,800", "1,234,567"]
        );
    }
}
