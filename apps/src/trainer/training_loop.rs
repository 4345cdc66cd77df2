//! The steps of a run, with evaluations and checkpoints between them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use engine::{EngineError, Example, Finetune, Llama, Nll};
use llama::Adapter;
use llama::adapter::training_checkpoint::{TrainingCheckpoint, checkpoint_path};

use crate::checkpoints;
use crate::cli::RunArgs;
use crate::data::Data;
use crate::interrupt::{Interrupt, Signal};
use crate::lr_schedule::LrSchedule;
use crate::metrics::MetricsLine;
use crate::progress::Progress;
use crate::run_log::RunLog;
use crate::schedule::Schedule;
use crate::trainer_state::TrainerState;

/// Everything that the loop works on.
pub struct TrainingLoop<'a> {
    pub finetune: Finetune,
    pub state: TrainerState,
    pub log: RunLog,
    pub data: &'a Data,
    pub schedule: Schedule,
    pub lr_schedule: LrSchedule,
    pub args: &'a RunArgs,
    pub output: &'a Path,
    /// The model's name, which is saved with the adapter.
    pub base_model: &'a str,
    pub chat_template: &'a str,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All steps were made.
    Finished,
    /// Evaluations no longer got better.
    EarlyStop,
    /// A signal came.
    Interrupted(Signal),
}

impl TrainingLoop<'_> {
    /// Trains from the current state to the end, or until a signal.
    pub fn run(&mut self, interrupt: &Interrupt) -> Result<End> {
        let done = self.state.global_step;
        let total = self.lr_schedule.total;
        let schedule = self.schedule.clone();
        let mut steps = schedule.steps().skip(usize::try_from(done).unwrap_or(usize::MAX));
        let mut progress = Progress::start(done, total);
        let (tokens, seconds) = (self.state.tokens, self.state.seconds);
        let end = loop {
            let step = self.state.global_step;
            let mut is_best = false;
            if self.evaluates(step) && !self.state.is_evaluated() {
                let loss = eval_loss(self.finetune.model(), self.data, self.schedule.batch_size, interrupt)?;
                if let Some(loss) = loss {
                    is_best = self.take_note(loss, &progress)?;
                }
            }
            let end = self.end(interrupt);
            let due = step.is_multiple_of(self.args.save_steps) || is_best || end.is_some();
            if due && step > 0 && !checkpoint_path(self.output, step).exists() {
                self.state.seconds = seconds + progress.trained().seconds;
                match (self.save(), end) {
                    // At the end a failed checkpoint is only reported: the adapter alone, saved next, may still fit on
                    // the disk.
                    (Err(error), Some(End::Finished | End::EarlyStop)) => {
                        eprintln!("no checkpoint: {error:#}")
                    }
                    (saved, _) => saved?,
                }
            }
            if let Some(end) = end {
                break end;
            }
            let Some(batches) = steps.next() else { break End::Finished };
            self.step(&batches, &mut progress)?;
            self.state.tokens = tokens + progress.trained().tokens;
        };
        self.state.seconds = seconds + progress.finish().seconds;
        Ok(end)
    }

    fn step(&mut self, batches: &[Vec<usize>], progress: &mut Progress) -> Result<()> {
        let batches: Vec<Vec<Example>> = batches.iter().map(|batch| self.data.examples(batch)).collect();
        let lr = self.lr_schedule.at(self.state.global_step);
        progress.begin();
        let step = self.state.global_step + 1;
        let report = self.finetune.step(&batches, lr).map_err(|error| match error {
            EngineError::NotFinite { .. } => anyhow!(
                "step {step}: {error}; the run stops before it, and what was saved before is whole. Try a lower --lr or \
                 --max-grad-norm"
            ),
            error => error.into(),
        })?;
        self.state.global_step = step;
        self.state.epoch = step as f64 / self.schedule.steps_per_epoch().max(1) as f64;
        self.log.write(MetricsLine::step(step, &report, lr))?;
        progress.step(&report, batches.iter().flatten().map(|example| example.tokens.len()).sum());
        Ok(())
    }

    /// Whether to evaluate now: before the first step, after the last, and at the interval asked for.
    fn evaluates(&self, step: u64) -> bool {
        let between = self.args.eval_steps.is_some_and(|steps| step.is_multiple_of(steps));
        !self.data.validation.is_empty() && (step == 0 || step >= self.lr_schedule.total || between)
    }

    /// Records an evaluation; `true` if it is the best so far, where that counts.
    fn take_note(&mut self, loss: f64, progress: &Progress) -> Result<bool> {
        let step = self.state.global_step;
        ensure!(
            loss.is_finite(),
            "the loss on the rows held back is {loss} after step {step}; try a lower --lr"
        );
        self.log.write(MetricsLine::evaluation(step, loss))?;
        let is_best = self.state.evaluated(loss);
        if self.args.eval_steps.is_none() {
            self.state.best = None; // nothing to choose from
            return Ok(false);
        }
        let best = if is_best { "  the best so far" } else { "" };
        progress.say(&format!("step {step}: eval_loss {loss:.4}  perplexity {:.3}{best}", loss.exp()));
        Ok(is_best)
    }

    fn end(&self, interrupt: &Interrupt) -> Option<End> {
        let missing = self.evaluates(self.state.global_step) && !self.state.is_evaluated();
        let is_over = self.state.global_step >= self.lr_schedule.total;
        let patience = self.args.early_stopping_patience;
        if let Some(signal) = interrupt.raised().filter(|_| missing || !is_over) {
            return Some(End::Interrupted(signal));
        }
        if is_over {
            return Some(End::Finished);
        }
        patience
            .is_some_and(|patience| self.state.early_stopping_patience_counter >= patience)
            .then_some(End::EarlyStop)
    }

    fn save(&self) -> Result<()> {
        let checkpoint = TrainingCheckpoint {
            adapter: self.adapter(self.finetune.model())?,
            optimizer: self.finetune.state(),
            state: self.state.clone(),
        };
        checkpoints::save(self.output, &checkpoint, self.args.save_total_limit)
    }

    /// The adapter of `llama`, with its model's name and chat template.
    fn adapter(&self, llama: &Llama) -> Result<Adapter> {
        let (config, weights) = llama.lora().context("the model has lost its adapter")?;
        Ok(Adapter {
            config: config.clone(),
            weights,
            base_model: Some(self.base_model.into()),
            chat_template: Some(self.chat_template.into()),
        })
    }

    /// Writes the adapter of the best evaluation, or else the last, to the run's folder. Returns the model
    /// with it.
    pub fn finish(self) -> Result<(Llama, TrainerState, RunLog)> {
        let mut llama = self.finetune.model().clone();
        let best = self.state.best.filter(|best| best.step != self.state.global_step);
        if let Some(best) = best {
            let path = checkpoint_path(self.output, best.step);
            let weights = Adapter::load(&path, llama.device())?.weights;
            let config = llama.lora().map(|(config, _)| config.clone());
            llama.attach_lora(&config.context("the model has lost its adapter")?, weights)?;
        }
        self.adapter(&llama)?.save(self.output)?;
        Ok((llama, self.state, self.log))
    }
}

/// Mean loss of the learned tokens of the rows held back; `None` if there are none, or a signal came.
fn eval_loss(llama: &Llama, data: &Data, batch_size: usize, interrupt: &Interrupt) -> Result<Option<f64>> {
    let mut total = Nll::default();
    for batch in data.validation.chunks(batch_size) {
        if interrupt.raised().is_some() {
            return Ok(None);
        }
        let nll = llama.nll(batch)?;
        total.sum += nll.sum;
        total.tokens += nll.tokens;
    }
    Ok((total.tokens > 0).then(|| total.mean()))
}
