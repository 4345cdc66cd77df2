//! Many requests, one model: continuous batching.
//!
//! The model lives on its own thread; requests reach it through a bounded queue. Each step computes, in
//! one ragged batch, the next token of every answer under way and a chunk of the prompts that came
//! after, so that a new request starts without waiting for the others to end, and a long prompt does
//! not stop them.
//!
//! ```text
//! submit → queue → admit → [ step: plan → guess → model → settle → deliver ]* → done
//!            │       ▲                         │
//!       Overloaded   └────── set back ─────────┘ when the cache is full: the youngest answer gives its
//!                                                blocks up, waits, and is computed again from its tokens
//! ```
//!
//! Each answer is computed under an adapter of its own, which can be loaded while others are answered. A panic in a
//! kernel, or in a callback, ends the one request that it belongs to.

mod model_thread;
mod queue;
mod stats;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use engine::EngineError;

use crate::adapter::Adapter;
use crate::generate::adapter_choice::{LoadedAdapter, Unloading};
use crate::generate::language_model::{LanguageModel, longest_sequence};
use crate::generate::request::{GenerateError, Request, Token};
use crate::text::tokenizer::Tokenizer;
use model_thread::ModelThread;
pub use queue::Limits;
use queue::{QueuedRequest, WorkItem};
use stats::Counters;
pub use stats::Stats;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full.
    #[error("overloaded: {queue} requests are waiting already; try again later")]
    Overloaded {
        /// Length of the queue.
        queue: usize,
    },
    /// It can never be answered.
    #[error(transparent)]
    Invalid(#[from] GenerateError),
    /// The model's thread has ended.
    #[error("the model has stopped")]
    Stopped,
}

/// Why an adapter was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadAdapterError {
    /// It was made for another model.
    #[error(transparent)]
    Unfit(#[from] EngineError),
    /// The model's thread has ended.
    #[error("the model has stopped")]
    Stopped,
}

/// Keeps a request alive: when it is dropped, the answer is given up at the next step.
#[derive(Debug)]
#[must_use = "dropping the ticket cancels the request"]
pub struct Ticket(Arc<AtomicBool>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The model's thread, seen from outside. When it is dropped, the thread ends with its last answer.
#[derive(Debug)]
pub struct Scheduler {
    queue: SyncSender<WorkItem>,
    thread: JoinHandle<()>,
    limits: Limits,
    context_length: usize,
    vocab_size: usize,
    counters: Arc<Counters>,
}

impl Scheduler {
    /// Moves `model` to a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start<M>(model: M, tokenizer: Tokenizer, limits: Limits) -> std::io::Result<Self>
    where
        M: LanguageModel + Send + 'static,
    {
        let limits =
            Limits { running: limits.running.max(1), prefill_tokens: limits.prefill_tokens.max(1), ..limits };
        let (queue, items) = mpsc::sync_channel(limits.queue);
        let context_length = longest_sequence(&model);
        let vocab_size = model.vocab_size();
        let shared = Arc::new(Counters::new(model.free_blocks(), model.block_len()));
        let counters = shared.clone();
        let thread = thread::Builder::new().name("model".into()).spawn(move || {
            let (running, waiting) = (Vec::new(), VecDeque::new());
            let unloading = Unloading::default();
            ModelThread { model, tokenizer, limits, context_length, running, waiting, unloading, counters }
                .run(&items);
        })?;
        Ok(Self { queue, thread, limits, context_length, vocab_size, counters: shared })
    }

    /// Tokens of prompt and answer that fit into the model's context and the cache.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Number of the model's tokens.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Counts of the work done so far.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Whether the model's thread runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Hands a request over. `deliver` is called on the model's thread with each token, and after one
    /// with a [`finish`](Token::finish), or an error, never again; it must not block.
    ///
    /// # Errors
    /// If the queue is full or the request can never be answered.
    pub fn submit<F>(&self, request: Request, deliver: F) -> Result<Ticket, SubmitError>
    where
        F: FnMut(Result<Token, GenerateError>) + Send + 'static,
    {
        request.validate(self.context_length, self.vocab_size)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let ticket = Ticket(cancelled.clone());
        let queued = QueuedRequest { request, deliver: Box::new(deliver), cancelled };
        self.counters.enqueue(); // before it is sent: the model's thread may take it at once
        self.queue.try_send(WorkItem::Answer(Box::new(queued))).map_err(|error| {
            self.counters.dequeue();
            match error {
                TrySendError::Full(_) => SubmitError::Overloaded { queue: self.limits.queue },
                TrySendError::Disconnected(_) => SubmitError::Stopped,
            }
        })?;
        Ok(ticket)
    }

    /// Loads an adapter beside those that are there, when its turn comes in the queue. It is unloaded when the last
    /// copy of what is returned is dropped and the last request under it has ended.
    ///
    /// # Errors
    /// If the adapter was made for another model, or the model has stopped.
    pub fn load_adapter(&self, adapter: Adapter) -> Result<LoadedAdapter, LoadAdapterError> {
        let (sender, loaded) = mpsc::sync_channel(1);
        let item = WorkItem::LoadAdapter(Box::new(adapter), sender);
        self.queue.send(item).map_err(|_| LoadAdapterError::Stopped)?;
        Ok(loaded.recv().map_err(|_| LoadAdapterError::Stopped)??)
    }

    /// Hands a request over and returns its tokens as an iterator, which waits for each.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn stream(&self, request: Request) -> Result<TokenStream, SubmitError> {
        let (sender, tokens) = mpsc::channel();
        let ticket = self.submit(request, move |token| {
            sender.send(token).ok(); // a receiver that is gone dropped its ticket too
        })?;
        Ok(TokenStream { tokens, finished: false, _ticket: ticket })
    }
}

/// The tokens of one request, as they come. Dropping it cancels the request.
#[derive(Debug)]
pub struct TokenStream {
    tokens: Receiver<Result<Token, GenerateError>>,
    finished: bool,
    _ticket: Ticket,
}

impl Iterator for TokenStream {
    type Item = Result<Token, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let token = self.tokens.recv().unwrap_or(Err(GenerateError::Stopped));
        self.finished = token.as_ref().map_or(true, |token| token.finish.is_some());
        Some(token)
    }
}

#[cfg(test)]
mod tests;
