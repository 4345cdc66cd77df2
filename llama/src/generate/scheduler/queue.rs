//! The queue in front of the model's thread: what waits in it, and how much may.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;

use engine::EngineError;

use crate::adapter::Adapter;
use crate::generate::adapter_choice::LoadedAdapter;
use crate::generate::request::{GenerateError, PREFILL_TOKENS, Request, SPECULATED_ROWS, Token};

/// How much the scheduler takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Answers computed side by side.
    pub running: usize,
    /// Requests that wait beside them; more are refused.
    pub queue: usize,
    /// Prompt tokens per step.
    pub prefill_tokens: usize,
    /// Tokens and guesses of a step without prompts: while more answers are under way, nothing is guessed.
    pub speculated_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { running: 32, queue: 64, prefill_tokens: PREFILL_TOKENS, speculated_rows: SPECULATED_ROWS }
    }
}

/// Hands each token of an answer to whoever asked for it.
pub(super) type Deliver = Box<dyn FnMut(Result<Token, GenerateError>) + Send>;

/// A request on its way to the model's thread.
pub(super) struct QueuedRequest {
    pub request: Request,
    pub deliver: Deliver,
    pub cancelled: Arc<AtomicBool>,
}

/// What the model's thread is asked to do.
pub(super) enum WorkItem {
    Answer(Box<QueuedRequest>),
    LoadAdapter(Box<Adapter>, SyncSender<Result<LoadedAdapter, EngineError>>),
}
