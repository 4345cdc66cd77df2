//! The recipe: set up, train, save, evaluate.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use engine::{AdamWConfig, Finetune, Llama, LoraConfig};
use llama::adapter::training_checkpoint::{TrainingCheckpoint, checkpoint_path};
use llama::{Adapter, Checkpoint, LlamaError, Model, hub};

use crate::base::warn_of_other_base;
use crate::checkpoints;
use crate::cli::{Base, Optim, TrainArgs};
use crate::data::{self, Data};
use crate::dry_run;
use crate::interrupt::Interrupt;
use crate::lr_schedule::LrSchedule;
use crate::model_card;
use crate::record::{self, BeforeAfter, Summary};
use crate::run_config::{Resolved, RunConfig, data_fingerprint};
use crate::run_log::RunLog;
use crate::run_report;
use crate::samples;
use crate::schedule::Schedule;
use crate::trainer_state::TrainerState;
use crate::training_loop::{End, TrainingLoop};

/// `trainer train`.
pub fn run(args: &TrainArgs) -> Result<ExitCode> {
    // Set up. Cheap checks come before the model is loaded.
    let dataset = data::open(args)?;
    let device = engine::device::parse(&args.device)?;
    record::check(&args.output, args.run.resume)?;
    let latest = if args.run.resume { checkpoints::latest(&args.output, &device)? } else { None };
    let base = args.base.map_or_else(|| default_base(&hub::resolve(&args.model)?), Ok)?;
    // The weights of `plain` are shared with the model in training.
    let Model { llama: plain, tokenizer, chat_template, path, .. } =
        Model::open_in(&args.model, base.form(), &device).map_err(|error| unsuited(error, base))?;
    // A resumed run writes the date on which it began into its prompts, so that they stay the same.
    let began = latest.as_ref().and_then(|state| state.run.began()).unwrap_or_else(seconds_since_1970);
    let data = Data::prepare(&dataset, &tokenizer, chat_template.as_ref(), plain.config(), began, args)?;
    let llama = with_adapter(plain.clone(), &path, args)?;

    let schedule = Schedule {
        examples: data.train.len(),
        batch_size: args.batch_size,
        grad_accum: args.grad_accum,
        shuffle: (!args.no_shuffle).then_some(args.seed),
    };
    let total = args.max_steps.unwrap_or(args.epochs.saturating_mul(schedule.steps_per_epoch()));
    let warmup_steps = args.run.warmup(total);
    let chat_template = data.prompts.chat_template(tokenizer.leading_bos()?.is_some());
    let run = RunConfig::new(
        args,
        &Resolved {
            lora: llama.lora().context("the model has no adapter")?.0,
            max_steps: total,
            warmup_steps,
            base,
            chat_template: &chat_template,
            model_fingerprint: Checkpoint::open(&path)?.fingerprint()?,
            data_fingerprint: data_fingerprint(&data.train, &data.validation),
            began,
        },
    )?;
    if args.run.eval_steps.is_some() {
        ensure!(!data.validation.is_empty(), "--eval-steps: no rows are held back; raise --validation-split");
    }
    if args.run.dry_run {
        dry_run::print(llama, &data, &schedule, total, base, args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (finetune, state, log) = match latest {
        Some(state) => resume(llama, state, run, args)?,
        None => begin(llama, run, args)?,
    };
    data.save_test(&args.output)?;

    // Train, with evaluations and checkpoints on the way.
    let interrupt = Interrupt::listen()?;
    let lr_schedule = LrSchedule { scheduler: args.run.lr_scheduler, lr: args.lr, warmup_steps, total };
    let mut training = TrainingLoop {
        finetune,
        state,
        log,
        data: &data,
        schedule,
        lr_schedule,
        args: &args.run,
        output: &args.output,
        base_model: &args.model,
        chat_template: &chat_template,
    };
    let end = training.run(&interrupt)?;
    let step = training.state.global_step;
    if let End::Interrupted(signal) = end {
        report_interruption(step, total, args);
        return Ok(signal.into());
    }

    // Save.
    let (llama, state, log) = training.finish()?;
    let config = llama.lora().map(|(config, _)| config.clone()).context("the model has lost its adapter")?;
    let after = state.best.or(state.evaluation.filter(|evaluation| evaluation.step == step));
    let validation_perplexity = state
        .eval_loss_before
        .zip(after)
        .map(|(before, after)| BeforeAfter { before: before.exp(), after: after.eval_loss.exp() });
    let summary = Summary { args, lora: &config, rows: &data.rows, state: &state, validation_perplexity };
    summary.write(&args.output)?;
    model_card::write(&summary, &args.output)?;
    let samples = samples::answer(plain, llama, &tokenizer, &data.prompts, &data.held_back)?;
    run_report::write(&summary, log.lines(), &samples, &args.output)?;

    if end == End::EarlyStop {
        println!("stopped early after step {step} of {total}");
    }
    println!("trained {step} steps on {} tokens in {:.1} s", state.tokens, state.seconds);
    let best = state.best.map_or(String::new(), |best| format!(", the best one, of step {}", best.step));
    println!("adapter saved in {}{best}", args.output.display());
    if let Some(BeforeAfter { before, after }) = validation_perplexity {
        println!("validation perplexity {before:.2} → {after:.2}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a run, replacing an earlier one that is finished.
fn begin(llama: Llama, run: RunConfig, args: &TrainArgs) -> Result<(Finetune, TrainerState, RunLog)> {
    let finetune = finetune(llama, args)?;
    checkpoints::clear(&args.output)?; // first, so that a crash here leaves nothing to resume
    record::unfinish(&args.output)?;
    let log = RunLog::create(&args.output)?;
    run.write(&args.output)?;
    Ok((finetune, TrainerState::new(run), log))
}

/// Resumes a run from its latest checkpoint.
fn resume(
    mut llama: Llama,
    state: TrainerState,
    run: RunConfig,
    args: &TrainArgs,
) -> Result<(Finetune, TrainerState, RunLog)> {
    run.check_same(&state.run, &args.output)?;
    let path = checkpoint_path(&args.output, state.global_step);
    let fit = || format!("{} does not fit the model", path.display());
    let checkpoint = TrainingCheckpoint::<TrainerState>::load(&path, llama.device())?;
    let config = llama.lora().map(|(config, _)| config.clone()).context("the model has no adapter")?;
    llama.attach_lora(&config, checkpoint.adapter.weights).with_context(fit)?;
    let mut finetune = finetune(llama, args)?;
    finetune.restore(checkpoint.optimizer).with_context(fit)?;
    let log = RunLog::resume(&args.output, state.global_step, state.is_evaluated())?;
    run.write(&args.output)?;
    eprintln!("going on after step {}, from {}", state.global_step, path.display());
    Ok((finetune, TrainerState { run, ..state }, log))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Says where the run is, and how to go on with it.
fn report_interruption(step: u64, total: u64, args: &TrainArgs) {
    println!("stopped after step {step} of {total}");
    if step > 0 {
        println!("checkpoint saved in {}, an adapter too", checkpoint_path(&args.output, step).display());
    }
    let mut words: Vec<String> = std::env::args().map(|word| quoted(&word)).collect();
    if !args.run.resume {
        words.push("--resume".into());
    }
    println!("go on with: {}", words.join(" "));
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The default form of the base: a quantized file as it is, any other in NF4.
pub fn default_base(path: &Path) -> Result<Base> {
    Ok(if Checkpoint::open(path)?.is_quantized() { Base::Keep } else { Base::Nf4 })
}

/// What to do about a matrix that has no form in 4 bits.
pub fn unsuited(error: LlamaError, base: Base) -> anyhow::Error {
    match error {
        LlamaError::Engine(error) if base == Base::Nf4 => {
            anyhow!("--base nf4 does not suit this model ({error}); try --base keep")
        }
        other => other.into(),
    }
}

/// The model with the adapter that the training starts from.
fn with_adapter(mut llama: Llama, model: &Path, args: &TrainArgs) -> Result<Llama> {
    if let Some(dir) = &args.init_adapter {
        let Adapter { mut config, weights, .. } = Adapter::load_onto(dir, &mut llama, model)?;
        warn_of_other_base(dir, model);
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

/// The training of the adapter that `llama` carries, from its first step.
fn finetune(llama: Llama, args: &TrainArgs) -> Result<Finetune> {
    let finetune = Finetune::new(llama, optimizer(args), args.seed)?;
    Ok(finetune.with_gradient_checkpointing(args.gradient_checkpointing))
}

/// The first users' optimizer: AdamW without weight decay.
fn optimizer(args: &TrainArgs) -> AdamWConfig {
    AdamWConfig {
        max_grad_norm: (args.max_grad_norm > 0.0).then_some(args.max_grad_norm),
        eight_bit: args.optim == Optim::Adamw8bit,
        ..AdamWConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(["a.csv", "--lr=2e-4", ""].map(quoted), ["a.csv", "--lr=2e-4", "''"]);
        assert_eq!(quoted("it's {instruction}"), "'it'\\''s {instruction}'");
    }
}
