//! The recipe: set up, train, save, evaluate.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use engine::quant::Format;
use engine::{AdamWConfig, Example, Finetune, Llama, LoraConfig, Nll};
use llama::{Adapter, Checkpoint, Model};

use crate::cli::{Base, Optim, TrainArgs};
use crate::data::{self, Data};
use crate::interrupt;
use crate::progress::Progress;
use crate::record::{self, BeforeAfter, Metrics, Summary};
use crate::schedule::Schedule;

/// `trainer train`.
pub fn run(args: &TrainArgs) -> Result<()> {
    // Set up. What costs little and may be wrong comes before the model.
    let dataset = data::open(args)?;
    let device = engine::device::parse(&args.device)?;
    record::check(&args.output)?;
    let Model { llama, tokenizer, chat_template, path, .. } = Model::open(&args.model, &device)?;
    let data = Data::prepare(&dataset, &tokenizer, chat_template.as_ref(), llama.config(), args)?;
    let base = args.base.map_or_else(|| default_base(&path), Ok)?;
    let llama = with_adapter(with_base(llama, base)?, args)?;
    let mut metrics = Metrics::create(&args.output)?;
    data.save_test(&args.output)?;
    let before = perplexity(&llama, &data.validation, args.batch_size)?;

    // Train.
    let schedule = Schedule {
        examples: data.train.len(),
        batch_size: args.batch_size,
        grad_accum: args.grad_accum,
        shuffle: (!args.no_shuffle).then_some(args.seed),
    };
    let total = args.max_steps.unwrap_or(args.epochs.saturating_mul(schedule.steps_per_epoch()));
    let mut finetune = Finetune::new(llama, optimizer(args), args.seed)?;
    let interrupted = interrupt::raised_by_ctrl_c()?;
    let mut progress = Progress::start(total);
    let mut steps = 0;
    for batches in schedule.steps().take(usize::try_from(total).unwrap_or(usize::MAX)) {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let batches: Vec<Vec<Example>> = batches.iter().map(|batch| data.examples(batch)).collect();
        let report = finetune.step(&batches, args.lr)?;
        steps += 1;
        ensure!(report.loss.is_finite(), "the loss of step {steps} is {}; try a lower --lr", report.loss);
        metrics.write(steps, &report, args.lr)?;
        progress.step(&report, batches.iter().flatten().map(|example| example.tokens.len()).sum());
    }
    let trained = progress.finish();

    // Save, before anything else can go wrong.
    let llama = finetune.into_model();
    let (config, weights) = llama.lora().context("the model has lost its adapter")?;
    let adapter = Adapter {
        config: config.clone(),
        weights,
        base_model: Some(args.model.clone()),
        chat_template: Some(data.prompts.chat_template(tokenizer.leading_bos()?.is_some())),
    };
    adapter.save(&args.output)?;

    // Evaluate.
    let after = match steps == total {
        true => perplexity(&llama, &data.validation, args.batch_size)?,
        false => None, // whoever interrupts does not want to wait
    };
    let validation_perplexity = before.zip(after).map(|(before, after)| BeforeAfter { before, after });
    let summary = Summary { args, lora: config, rows: &data.rows, steps, trained, validation_perplexity };
    summary.write(&args.output)?;

    if steps < total {
        println!("interrupted after step {steps} of {total}");
    }
    println!("trained {steps} steps on {} tokens in {:.1} s", trained.tokens, trained.seconds);
    println!("adapter saved in {}", args.output.display());
    if let Some(BeforeAfter { before, after }) = validation_perplexity {
        println!("validation perplexity {before:.2} → {after:.2}");
    }
    Ok(())
}

/// What is quantized stays as it is; the rest is trained as QLoRA does.
pub fn default_base(path: &Path) -> Result<Base> {
    Ok(if Checkpoint::open(path)?.is_quantized() { Base::Keep } else { Base::Nf4 })
}

/// The model with its frozen weights in the form asked for.
pub fn with_base(mut llama: Llama, base: Base) -> Result<Llama> {
    if base != Base::Keep {
        llama.dequantize();
    }
    if base == Base::Nf4 {
        llama.quantize_base(Format::NF4).context("--base nf4 does not suit this model; try --base keep")?;
    }
    Ok(llama)
}

/// The model with the adapter that the training starts from.
fn with_adapter(mut llama: Llama, args: &TrainArgs) -> Result<Llama> {
    if let Some(dir) = &args.init_adapter {
        let Adapter { mut config, weights, .. } = Adapter::load_onto(dir, &mut llama)?;
        if let Some(dropout) = args.lora_dropout {
            config.lora_dropout = dropout as f32;
            llama.attach_lora(&config, weights)?;
        }
        return Ok(llama);
    }
    let config = LoraConfig {
        r: args.lora_r,
        lora_alpha: args.lora_alpha as f32,
        lora_dropout: args.lora_dropout.unwrap_or(0.05) as f32,
        target_modules: args.target_modules.clone(),
        use_rslora: args.use_rslora,
        use_dora: args.use_dora,
    };
    llama.init_lora(&config, args.seed)?;
    let (config, modules) = llama.lora().context("the model has lost its adapter")?;
    for name in &config.target_modules {
        let alone = LoraConfig { target_modules: vec![name.clone()], ..config.clone() };
        if !modules.iter().any(|weights| alone.targets(&weights.module)) {
            bail!("--target-modules: the model has no projection `{name}`");
        }
    }
    Ok(llama)
}

/// The first users' optimizer: AdamW without weight decay.
fn optimizer(args: &TrainArgs) -> AdamWConfig {
    AdamWConfig {
        max_grad_norm: (args.max_grad_norm > 0.0).then_some(args.max_grad_norm),
        eight_bit: args.optim == Optim::Adamw8bit,
        ..AdamWConfig::default()
    }
}

/// Perplexity of the examples' learned tokens; `None` if there are no examples.
fn perplexity(llama: &Llama, examples: &[Example], batch_size: usize) -> Result<Option<f64>> {
    let mut total = Nll::default();
    for batch in examples.chunks(batch_size) {
        let nll = llama.nll(batch)?;
        total.sum += nll.sum;
        total.tokens += nll.tokens;
    }
    Ok((total.tokens > 0).then(|| total.perplexity()))
}
