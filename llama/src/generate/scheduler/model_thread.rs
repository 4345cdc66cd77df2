//! What runs on the model's thread.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use super::queue::{Deliver, Limits, QueuedRequest, WorkItem};
use super::stats::Counters;
use crate::generate::adapter_choice::{AdapterChoice, Unloading};
use crate::generate::answer_state::AnswerState;
use crate::generate::continuation::{Continuation, Settled};
use crate::generate::language_model::LanguageModel;
use crate::generate::request::{GenerateError, Token};
use crate::text::tokenizer::Tokenizer;

/// The receiver of an answer.
struct Client {
    deliver: Deliver,
    cancelled: Arc<AtomicBool>,
    /// Keeps the adapter loaded.
    adapter: AdapterChoice,
    speculate: bool,
}

impl Client {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Hands a token over. A callback that panics has no use for more: the request is cancelled.
    fn deliver(&mut self, token: Result<Token, GenerateError>) {
        if catch_unwind(AssertUnwindSafe(|| (self.deliver)(token))).is_err() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// A request that the model holds no sequence for.
pub(super) struct Waiting {
    answer: AnswerState,
    client: Client,
}

/// A request that the model holds a sequence for.
pub(super) struct Running<S> {
    continuation: Continuation<S>,
    client: Client,
}

impl<S: Copy> Running<S> {
    /// Takes in the step's logits.
    fn settle<'l, M: LanguageModel<Sequence = S>>(
        &mut self,
        rows: impl Iterator<Item = &'l [f32]>,
        model: &mut M,
    ) -> Settled {
        self.continuation.settle(rows, model, |token| self.client.deliver(token))
    }
}

/// The state of the model's thread.
pub(super) struct ModelThread<M: LanguageModel> {
    pub model: M,
    pub tokenizer: Tokenizer,
    pub limits: Limits,
    pub context_length: usize,
    /// Requests that are computed, the oldest first.
    pub running: Vec<Running<M::Sequence>>,
    /// Requests that were set back or that there is no room for yet, the oldest first.
    pub waiting: VecDeque<Waiting>,
    pub unloading: Unloading,
    pub counters: Arc<Counters>,
}

impl<M: LanguageModel> ModelThread<M> {
    /// Answers requests until the scheduler is dropped.
    pub fn run(mut self, queue: &Receiver<WorkItem>) {
        loop {
            self.drop_cancelled();
            self.tell();
            if !self.admit(queue) {
                return;
            }
            self.tell();
            self.plan();
            self.step();
        }
    }

    fn tell(&self) {
        self.counters.stand(self.waiting.len(), self.running.len(), self.model.free_blocks());
    }

    fn drop_cancelled(&mut self) {
        for gone in self.running.extract_if(.., |running| running.client.is_cancelled()) {
            self.model.close(gone.continuation.sequence());
        }
        self.waiting.retain(|waiting| !waiting.client.is_cancelled());
        for adapter in self.unloading.take() {
            self.model.unload_adapter(adapter);
        }
    }

    /// Starts the requests that there is room for. With nothing else to do it waits for one; false if
    /// none will come.
    fn admit(&mut self, queue: &Receiver<WorkItem>) -> bool {
        while self.running.len() < self.limits.running {
            if self.waiting.is_empty() {
                let idle = self.running.is_empty();
                let item = if idle { queue.recv().map_err(TryRecvError::from) } else { queue.try_recv() };
                match item {
                    Ok(WorkItem::Answer(request)) => {
                        self.counters.dequeue();
                        self.accept(*request);
                    }
                    Ok(WorkItem::LoadAdapter(adapter, reply)) => {
                        let loaded = self.model.load_adapter(*adapter);
                        // If the caller is gone, dropping the reply unloads the adapter again.
                        reply.send(loaded.map(|id| self.unloading.watch(id))).ok();
                    }
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return !idle,
                }
            }
            match self.waiting.pop_front() {
                Some(next) if self.has_room(&next) => self.start(next),
                Some(next) => {
                    self.waiting.push_front(next);
                    return true;
                }
                None => {} // no answer, or one that was cancelled in the queue
            }
        }
        true
    }

    fn accept(&mut self, QueuedRequest { request, deliver, cancelled }: QueuedRequest) {
        let (adapter, speculate) = (request.adapter.clone(), request.speculate);
        let mut client = Client { deliver, cancelled, adapter, speculate };
        match AnswerState::new(request, &self.tokenizer, self.context_length, self.model.vocab_size()) {
            Ok(answer) if !client.is_cancelled() => self.waiting.push_back(Waiting { answer, client }),
            Ok(_) => {}
            Err(error) => client.deliver(Err(error)),
        }
    }

    fn start(&mut self, Waiting { answer, client }: Waiting) {
        let adapter = client.adapter.id(self.model.default_adapter());
        let continuation = Continuation::open(answer, &mut self.model, adapter, client.speculate);
        let reused = continuation.cached();
        self.counters.begin(reused + continuation.left(), reused);
        self.running.push(Running { continuation, client });
    }

    /// Whether the cache has blocks for all of a request's tokens and one more, after those that the
    /// running ones still need for theirs.
    fn has_room(&self, next: &Waiting) -> bool {
        let blocks = |positions| self.model.blocks_for(positions);
        let needs = |running: &Running<_>| {
            let cached = running.continuation.cached();
            blocks(cached + running.continuation.left()) - blocks(cached)
        };
        let promised: usize = self.running.iter().map(needs).sum();
        self.running.is_empty()
            || blocks(next.answer.tokens().len() + 1) + promised <= self.model.free_blocks()
    }

    /// Decides what the next step computes. The oldest come first; where blocks are short the youngest
    /// is set back, so that the oldest always gets on. Guesses take what is left.
    fn plan(&mut self) {
        let mut prefill = self.limits.prefill_tokens;
        let mut planned_blocks = 0;
        let mut index = 0;
        while let Some(Running { continuation, .. }) = self.running.get_mut(index) {
            let left = continuation.left();
            continuation.plan(if left == 1 { 1 } else { prefill });
            let planned = continuation.planned();
            let cached = continuation.cached();
            let blocks = self.model.blocks_for(cached + planned) - self.model.blocks_for(cached);
            if planned_blocks + blocks > self.model.free_blocks() && self.running.len() > 1 {
                self.set_back_youngest();
                continue;
            }
            planned_blocks += blocks;
            if left > 1 {
                prefill -= planned;
            }
            index += 1;
        }
        // Steps with parts of a prompt are busy enough without guesses, and scarce blocks are not spent on guesses.
        let all_single = prefill == self.limits.prefill_tokens;
        let mut rows = self.limits.speculated_rows.saturating_sub(self.running.len());
        for Running { continuation, .. } in &mut self.running {
            let spare = self.model.free_blocks().saturating_sub(planned_blocks);
            if all_single && rows > 0 && spare > 1 {
                continuation.guess(1 + rows, &self.model);
                rows -= continuation.planned() - 1;
                planned_blocks += self.model.blocks_for(continuation.planned());
            }
        }
    }

    fn set_back_youngest(&mut self) {
        if let Some(Running { continuation, client }) = self.running.pop() {
            self.model.close(continuation.sequence());
            self.waiting.push_front(Waiting { answer: continuation.into_answer(), client });
        }
    }

    fn step(&mut self) {
        let parts: Vec<_> = self.running.iter().map(|running| running.continuation.part()).collect();
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.tokens.is_empty()).collect();
        if parts.is_empty() {
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.model.step(&parts)));
        drop(parts);
        match outcome {
            Ok(Ok(logits)) => self.settle(&logits),
            Ok(Err(_)) => self.step_alone(),
            Err(_) => {
                self.model.reset();
                let Self { model, running, .. } = self;
                running.iter_mut().for_each(|running| running.continuation.lose(model));
                self.step_alone();
            }
        }
    }

    fn settle(&mut self, logits: &[f32]) {
        let Self { model, running, counters, .. } = self;
        counters.step();
        let mut rows = logits.chunks_exact(model.vocab_size().max(1));
        let settle = |running: &mut Running<M::Sequence>| {
            if running.continuation.planned() == 0 {
                return false;
            }
            let (guessed, right) = running.continuation.guesses();
            let of_it: Vec<_> = rows.by_ref().take(running.continuation.outputs()).collect();
            let settled = running.settle(of_it.into_iter(), model);
            let (guessed_now, right_now) = running.continuation.guesses();
            counters.guesses(guessed_now - guessed, right_now - right);
            settled == Settled::Ended
        };
        let ended: Vec<_> = running.extract_if(.., settle).collect();
        for running in ended {
            self.model.close(running.continuation.sequence());
        }
    }

    /// One of the planned requests is at fault: each is computed alone, so that only that one fails.
    fn step_alone(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            let Self { model, running, limits, .. } = self;
            let one = &mut running[index];
            if one.continuation.planned() == 0 {
                index += 1;
                continue;
            }
            let recompute = || one.continuation.recompute(model, limits.prefill_tokens);
            let settled = match catch_unwind(AssertUnwindSafe(recompute)) {
                Ok(Ok(logits)) => {
                    let rows = logits.chunks_exact(model.vocab_size().max(1));
                    one.settle(rows, model)
                }
                Ok(Err(error)) => {
                    one.client.deliver(Err(error.into()));
                    Settled::Ended
                }
                Err(panic) => {
                    one.client.deliver(Err(GenerateError::Panicked(message(&*panic))));
                    model.reset();
                    let others = running.iter_mut().enumerate().filter(|(other, _)| *other != index);
                    others.for_each(|(_, other)| other.continuation.lose(model));
                    running.remove(index);
                    continue;
                }
            };
            match settled {
                Settled::GoesOn => index += 1,
                Settled::Ended => self.model.close(self.running.remove(index).continuation.sequence()),
            }
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
