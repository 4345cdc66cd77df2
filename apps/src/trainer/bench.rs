//! `trainer bench`: speed and memory of training steps, on the terms of PEFT's usual measurements: rank 8
//! on q_proj and v_proj, dropout 0.05, AdamW, random tokens that are all learned.

use std::time::Instant;

use anyhow::{Result, ensure};
use engine::{AdamWConfig, Example, Finetune, Llama, LoraConfig, threads};
use llama::{Checkpoint, hub};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::cli::BenchArgs;
use crate::{peak_memory, train};

/// The result of a measurement.
#[derive(Debug, Serialize)]
struct BenchReport {
    model: String,
    device: String,
    base: String,
    seq: usize,
    batch_size: usize,
    threads: usize,
    steps: usize,
    step_s_median: f64,
    step_s_min: f64,
    tok_s_median: f64,
    tok_s_max: f64,
    /// Peak memory of the process, loading included; `None` if the system does not tell.
    peak_rss_mib: Option<f64>,
    first_loss: f64,
    last_loss: f64,
}

/// `trainer bench`.
pub fn run(args: &BenchArgs) -> Result<()> {
    let device = engine::device::parse(&args.device)?;
    let path = hub::resolve(&args.model)?;
    let base = args.base.map_or_else(|| train::default_base(&path), Ok)?;
    let checkpoint = Checkpoint::open(&path)?;
    let context = checkpoint.config().max_position_embeddings;
    ensure!(args.seq <= context, "--seq {} is longer than the model's context of {context}", args.seq);
    let mut weights = checkpoint.weights(&device).with_form(base.form());
    let llama = Llama::load(checkpoint.config().clone(), &mut weights, &device);
    let mut llama = llama.map_err(|error| train::unsuited(error, base))?;
    drop(checkpoint);
    let lora = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.05,
        target_modules: ["q_proj", "v_proj"].map(String::from).to_vec(),
        ..LoraConfig::default()
    };
    llama.init_lora(&lora, 0)?;

    threads::set(args.threads.unwrap_or(0));
    let count = threads::get();
    // burn's own ops run on rayon's threads.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build()?;
    let (seconds, losses) = pool.install(|| steps(llama, args))?;
    let mut sorted = seconds;
    sorted.sort_by(f64::total_cmp);
    let (median, min) = (sorted[sorted.len() / 2], sorted[0]);
    let tokens = (args.seq * args.batch_size) as f64;
    let report = BenchReport {
        model: args.model.clone(),
        device: args.device.clone(),
        base: format!("{base:?}").to_lowercase(),
        seq: args.seq,
        batch_size: args.batch_size,
        threads: count,
        steps: args.steps,
        step_s_median: median,
        step_s_min: min,
        tok_s_median: tokens / median,
        tok_s_max: tokens / min,
        peak_rss_mib: peak_memory::mib(),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{:.1} tokens/s ({:.3} s a step, {:.3} at best)", report.tok_s_median, median, min);
        if let Some(mib) = report.peak_rss_mib {
            println!("{mib:.0} MiB at most");
        }
    }
    Ok(())
}

/// Seconds of each step after the first, and the loss of each step.
fn steps(llama: Llama, args: &BenchArgs) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let vocab_size = llama.config().vocab_size as u32;
    let mut finetune = Finetune::new(llama, AdamWConfig::default(), 0)?;
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..=args.steps {
        let mut example = || Example {
            tokens: (0..args.seq).map(|_| random.next_u32() % vocab_size).collect(),
            learned: vec![true; args.seq],
        };
        let batch: Vec<Example> = (0..args.batch_size).map(|_| example()).collect();
        let start = Instant::now();
        losses.push(finetune.step(&[batch], 2e-4)?.loss);
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok((seconds, losses))
}
