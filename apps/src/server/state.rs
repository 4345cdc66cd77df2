//! State shared by the routes: the model, its prompts, and the knowledge base.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, Stream};
use llama::{FinishReason, GenerateError, Request, Scheduler, Ticket, Token};
use rag::Answerer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::asking::Asking;
use crate::embeddings::Embeddings;
use crate::error::ApiError;
use crate::http::limits::RateLimits;
use crate::http::metrics::Metrics;
use crate::http::shutdown::Shutdown;
use crate::models::ServedModel;
use crate::notices::Notices;
use crate::openai::ApiSettings;
use crate::prompt::PromptWriter;
use crate::running::Running;
use crate::store::Store;

/// State of the application.
pub struct AppState {
    /// The model's name, as answers give it.
    pub model: String,
    /// Writes prompts.
    pub prompts: PromptWriter,
    /// The adapters that can be asked for by their names.
    pub adapters: Vec<ServedModel>,
    /// How requests are taken.
    pub settings: ApiSettings,
    /// Runs the model.
    pub scheduler: Scheduler,
    /// The knowledge base, if there is one.
    pub knowledge: Option<Arc<Answerer>>,
    /// Its embedder.
    pub embeddings: Option<Embeddings>,
    /// Places for questions.
    pub asking: Asking,
    /// Answers under way.
    pub running: Running,
    /// Tells watchers of conversations what happens.
    pub notices: Notices,
    /// What the server remembers.
    pub store: Store,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What callers have used.
    pub limits: RateLimits,
    /// How far it has stopped.
    pub shutdown: Shutdown,
    /// When the server started, in seconds since 1970.
    pub started: u64,
    named: AtomicU64,
}

/// What a state is made of.
pub struct Parts {
    /// The model's name.
    pub model: String,
    /// Writes its prompts.
    pub prompts: PromptWriter,
    /// Runs it.
    pub scheduler: Scheduler,
    /// The knowledge base, if there is one.
    pub knowledge: Option<Arc<Answerer>>,
    /// What the server remembers.
    pub store: Store,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What callers have used.
    pub limits: RateLimits,
    /// How far it has stopped.
    pub shutdown: Shutdown,
}

/// State as the routes take it.
pub type Shared = Arc<AppState>;

impl AppState {
    /// The state of a server that starts now.
    pub fn new(parts: Parts) -> Self {
        let Parts { model, prompts, scheduler, knowledge, store, metrics, limits, shutdown } = parts;
        Self {
            model,
            prompts,
            adapters: Vec::new(),
            settings: ApiSettings::default(),
            scheduler,
            embeddings: knowledge.clone().map(Embeddings::of),
            knowledge,
            asking: Asking::default(),
            running: Running::default(),
            notices: Notices::default(),
            store,
            metrics,
            limits,
            shutdown,
            started: now(),
            named: AtomicU64::new(0),
        }
    }

    /// The knowledge base.
    ///
    /// # Errors
    /// If there is none.
    pub fn knowledge(&self) -> Result<&Arc<Answerer>, ApiError> {
        let message = "this server has no knowledge base; start it with --knowledge";
        self.knowledge.as_ref().ok_or_else(|| ApiError::unavailable(message))
    }

    /// The documents that are there, the passages that they are cut into, and the files that were left out.
    pub fn counts(&self) -> (usize, usize, usize) {
        self.knowledge.as_ref().map_or((0, 0, 0), |knowledge| {
            let retriever = knowledge.retriever();
            let store = retriever.store();
            (store.len(), retriever.index().snapshot().len(), store.skipped().len())
        })
    }

    /// What there is, in a line.
    pub fn summary(&self) -> String {
        let adapters: Vec<&str> = self.adapters.iter().map(|adapter| adapter.name.as_str()).collect();
        let adapter =
            if adapters.is_empty() { String::new() } else { format!(" with {}", adapters.join(", ")) };
        let (documents, passages, skipped) = self.counts();
        let keys = if self.store.has_keys() { "callers need a key" } else { "no keys: this computer only" };
        format!(
            "model {}{adapter}; {documents} documents in {passages} passages, {skipped} skipped; {keys}",
            self.model
        )
    }

    /// A name that no other answer of this server has.
    pub fn answer_id(&self, prefix: &str) -> String {
        let number = self.named.fetch_add(1, Ordering::Relaxed);
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
    /// Its tokens, the end token included.
    pub tokens: Vec<Token>,
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
        let (mut text, mut tokens) = (String::new(), Vec::new());
        while let Some(token) = self.next().await {
            let token = token?;
            text.push_str(&token.text);
            let finish = token.finish;
            tokens.push(token);
            if let Some(finish) = finish {
                return Ok(Completion { text, tokens, finish });
            }
        }
        Err(GenerateError::Stopped)
    }
}
