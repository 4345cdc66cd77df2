//! What runs on the model's thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use engine::EngineError;

use super::{Deliver, Job, Limits};
use crate::generate::Answer;
use crate::language_model::{Chunk, LanguageModel};
use crate::tokenizer::Tokenizer;

/// A request that the model holds no sequence for.
pub(super) struct Waiting {
    answer: Answer,
    deliver: Deliver,
    cancelled: Arc<AtomicBool>,
}

impl Waiting {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A request that the model holds a sequence for.
pub(super) struct Running<S> {
    request: Waiting,
    sequence: S,
    /// Tokens whose past the model holds.
    cached: usize,
    /// Tokens that this step computes after them.
    planned: usize,
}

impl<S: Copy> Running<S> {
    /// The tokens that the step needs: those planned, or from the start.
    fn tokens(&self, from: usize) -> &[u32] {
        self.request.answer.tokens().get(from..self.cached + self.planned).unwrap_or_default()
    }

    /// Tokens that are not computed yet.
    fn left(&self) -> usize {
        self.request.answer.tokens().len() - self.cached
    }

    /// Whether the step reaches the last token and so gives the next one.
    fn output(&self) -> bool {
        self.planned == self.left()
    }

    /// Takes in the step's logits, if it gave any; false if that ended the answer.
    fn settle(&mut self, logits: Option<&[f32]>) -> bool {
        self.cached += std::mem::take(&mut self.planned);
        let Some(logits) = logits else { return true };
        let token = self.request.answer.advance(logits);
        let goes_on = matches!(&token, Ok(token) if token.finish.is_none());
        (self.request.deliver)(token);
        goes_on
    }

    /// Computes the step again from the start of a new sequence, alone.
    fn recompute<M>(&mut self, model: &mut M, prefill_tokens: usize) -> Result<Vec<f32>, EngineError>
    where
        M: LanguageModel<Sequence = S>,
    {
        model.close(self.sequence);
        self.sequence = model.open();
        let mut logits = Vec::new();
        let mut pieces = self.tokens(0).chunks(prefill_tokens).peekable();
        while let Some(tokens) = pieces.next() {
            let output = self.output() && pieces.peek().is_none();
            logits = model.step(&[Chunk { sequence: self.sequence, tokens, output }])?;
        }
        Ok(logits)
    }
}

/// What the model's thread works with.
pub(super) struct Worker<M: LanguageModel> {
    pub model: M,
    pub tokenizer: Tokenizer,
    pub limits: Limits,
    pub context_length: usize,
    /// Oldest first.
    pub running: Vec<Running<M::Sequence>>,
    /// Set back, or next in line and without room. Oldest first.
    pub waiting: VecDeque<Waiting>,
}

impl<M: LanguageModel> Worker<M> {
    /// Answers what comes until nothing comes any more.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            self.drop_cancelled();
            if !self.admit(jobs) {
                return;
            }
            self.plan();
            self.step();
        }
    }

    fn drop_cancelled(&mut self) {
        for gone in self.running.extract_if(.., |running| running.request.is_cancelled()) {
            self.model.close(gone.sequence);
        }
        self.waiting.retain(|waiting| !waiting.is_cancelled());
    }

    /// Starts the requests that there is room for. With nothing else to do it waits for one; false if
    /// none will come.
    fn admit(&mut self, jobs: &Receiver<Job>) -> bool {
        while self.running.len() < self.limits.running {
            if self.waiting.is_empty() {
                let idle = self.running.is_empty();
                let job = if idle { jobs.recv().map_err(TryRecvError::from) } else { jobs.try_recv() };
                match job {
                    Ok(job) => self.accept(job),
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return !idle,
                }
            }
            match self.waiting.pop_front() {
                Some(next) if self.has_room(&next) => {
                    let sequence = self.model.open();
                    self.running.push(Running { request: next, sequence, cached: 0, planned: 0 });
                }
                Some(next) => {
                    self.waiting.push_front(next);
                    return true;
                }
                None => {} // the job was cancelled in the queue
            }
        }
        true
    }

    fn accept(&mut self, Job { request, mut deliver, cancelled }: Job) {
        match Answer::new(request, &self.tokenizer, self.context_length, self.model.vocab_size()) {
            Ok(answer) => {
                let waiting = Waiting { answer, deliver, cancelled };
                if !waiting.is_cancelled() {
                    self.waiting.push_back(waiting);
                }
            }
            Err(error) => deliver(Err(error)),
        }
    }

    /// Whether the cache has blocks for all of a request's tokens and one more, after those that the
    /// running ones still need for theirs.
    fn has_room(&self, next: &Waiting) -> bool {
        let blocks = |positions| self.model.blocks_for(positions);
        let promised: usize =
            self.running.iter().map(|r| blocks(r.cached + r.left()) - blocks(r.cached)).sum();
        self.running.is_empty()
            || blocks(next.answer.tokens().len() + 1) + promised <= self.model.free_blocks()
    }

    /// Decides what the next step computes. The oldest come first; where blocks are short the youngest
    /// is set back, so that the oldest always gets on.
    fn plan(&mut self) {
        let mut prefill = self.limits.prefill_tokens;
        let mut planned_blocks = 0;
        let mut index = 0;
        while let Some(running) = self.running.get(index) {
            let left = running.left();
            let planned = if left == 1 { 1 } else { left.min(prefill) };
            let blocks =
                self.model.blocks_for(running.cached + planned) - self.model.blocks_for(running.cached);
            if planned_blocks + blocks > self.model.free_blocks() && self.running.len() > 1 {
                self.set_back_youngest();
                continue;
            }
            planned_blocks += blocks;
            if left > 1 {
                prefill -= planned;
            }
            self.running[index].planned = planned;
            index += 1;
        }
    }

    fn set_back_youngest(&mut self) {
        if let Some(youngest) = self.running.pop() {
            self.model.close(youngest.sequence);
            self.waiting.push_front(youngest.request);
        }
    }

    fn step(&mut self) {
        let planned: Vec<_> = self.running.iter().filter(|running| running.planned > 0).collect();
        let chunks: Vec<_> = planned
            .iter()
            .map(|r| Chunk { sequence: r.sequence, tokens: r.tokens(r.cached), output: r.output() })
            .collect();
        if chunks.is_empty() {
            return;
        }
        let logits = self.model.step(&chunks);
        let Self { model, running, limits, .. } = self;
        let ended: Vec<_> = match logits {
            Ok(logits) => {
                let mut rows = logits.chunks_exact(model.vocab_size().max(1));
                let settle = |running: &mut Running<M::Sequence>| {
                    let row = running.output().then(|| rows.next().unwrap_or_default());
                    running.planned > 0 && !running.settle(row)
                };
                running.extract_if(.., settle).collect()
            }
            // One of them is at fault: each alone, so that only that one fails.
            Err(_) => {
                let settle = |running: &mut Running<M::Sequence>| {
                    if running.planned == 0 {
                        return false;
                    }
                    let output = running.output();
                    match running.recompute(model, limits.prefill_tokens) {
                        Ok(logits) => !running.settle(output.then_some(&logits)),
                        Err(error) => {
                            (running.request.deliver)(Err(error.into()));
                            true
                        }
                    }
                };
                running.extract_if(.., settle).collect()
            }
        };
        for running in ended {
            model.close(running.sequence);
        }
    }
}
