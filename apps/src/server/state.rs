//! State shared by the routes: the model, its prompts, and the knowledge base.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, Stream};
use llama::{FinishReason, GenerateError, Request, Scheduler, Ticket, Token};
use rag::Hit;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::error::ApiError;
use crate::prompt::PromptWriter;

/// Finds passages for a question, at most the number given.
pub type Search = Box<dyn Fn(&str, usize) -> anyhow::Result<Vec<Hit>> + Send + Sync>;

/// State of the application.
pub struct AppState {
    /// The model's name, as answers give it.
    pub model: String,
    /// Writes prompts.
    pub prompts: PromptWriter,
    /// Runs the model.
    pub scheduler: Scheduler,
    /// The knowledge base, if there is one.
    pub search: Option<Search>,
    /// When the server started, in seconds since 1970.
    pub started: u64,
    answers: AtomicU64,
}

/// State as the routes take it.
pub type Shared = Arc<AppState>;

impl AppState {
    /// The state of a server that starts now.
    pub fn new(model: String, prompts: PromptWriter, scheduler: Scheduler, search: Option<Search>) -> Self {
        Self { model, prompts, scheduler, search, started: now(), answers: AtomicU64::new(0) }
    }

    /// A name that no other answer of this server has.
    pub fn answer_id(&self, prefix: &str) -> String {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}-{:x}-{number}", self.started)
    }

    /// Hands a request to the model.
    ///
    /// # Errors
    /// If the model is overloaded or the request can never be answered.
    pub fn submit(&self, request: Request) -> Result<AnswerStream, ApiError> {
        let (sender, tokens) = unbounded_channel(); // bounded by the request's max_tokens
        let ticket = self.scheduler.submit(request, move |token| {
            sender.send(token).ok(); // a receiver that is gone dropped its ticket too
        })?;
        Ok(AnswerStream { tokens, finished: false, _ticket: ticket })
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The tokens of one answer as they come. Dropping it, as axum does when the client is gone, cancels the request.
pub struct AnswerStream {
    tokens: UnboundedReceiver<Result<Token, GenerateError>>,
    finished: bool,
    _ticket: Ticket,
}

/// A whole answer.
#[derive(Debug)]
pub struct Completion {
    /// Its text.
    pub text: String,
    /// Tokens generated, the end token included.
    pub tokens: usize,
    /// Why it ended.
    pub finish: FinishReason,
}

impl AnswerStream {
    async fn next(&mut self) -> Option<Result<Token, GenerateError>> {
        if self.finished {
            return None;
        }
        let token = self.tokens.recv().await.unwrap_or(Err(GenerateError::Stopped));
        self.finished = token.as_ref().map_or(true, |token| token.finish.is_some());
        Some(token)
    }

    /// Its tokens.
    pub fn into_stream(self) -> impl Stream<Item = Result<Token, GenerateError>> + Send {
        stream::unfold(self, async |mut answer| answer.next().await.map(|token| (token, answer)))
    }

    /// Waits for all of it.
    ///
    /// # Errors
    /// If the model fails on the way.
    pub async fn complete(mut self) -> Result<Completion, GenerateError> {
        let (mut text, mut tokens) = (String::new(), 0);
        while let Some(token) = self.next().await {
            let token = token?;
            tokens += 1;
            text.push_str(&token.text);
            if let Some(finish) = token.finish {
                return Ok(Completion { text, tokens, finish });
            }
        }
        Err(GenerateError::Stopped)
    }
}
