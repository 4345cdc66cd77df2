//! The record of a request to OpenAI's endpoints: what was asked, by whom, and what came of it.

use std::time::{Duration, Instant};

use llama::Token;
use serde_json::Value;

use super::Described;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::state::Shared;
use crate::store::{Finished, NewTurn, OpenTurn};

/// What is asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// The endpoint.
    pub endpoint: &'static str,
    /// The model's name.
    pub model: String,
    /// What the answer is to.
    pub question: String,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// What only describes the request.
    pub described: Described,
}

/// A request that is being answered. Dropped without an end, as where the client is gone, it is recorded as abandoned.
pub struct Recording {
    turn: OpenTurn,
    state: Shared,
    caller: Caller,
    model: String,
    received: Instant,
    first: Option<Duration>,
    last: Duration,
    prompt_tokens: usize,
    tokens: usize,
    texts: Vec<String>,
}

impl Recording {
    /// Records that a request is answered from now on.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub async fn begin(state: &Shared, caller: &Caller, asked: Asked) -> Result<Self, ApiError> {
        let received = Instant::now();
        let Asked { endpoint, model, question, prompt_tokens, described } = asked;
        let new = NewTurn {
            customer: described.0.get("user").and_then(Value::as_str).map(str::to_string),
            caller: Some(caller.id.clone()),
            endpoint: endpoint.into(),
            model: Some(model.clone()),
            question,
            described: (!described.0.is_empty()).then(|| described.0.into()),
            ..NewTurn::default()
        };
        Ok(Self {
            turn: state.store.begin(new).await?,
            state: state.clone(),
            caller: caller.clone(),
            model,
            received,
            first: None,
            last: Duration::ZERO,
            prompt_tokens,
            tokens: 0,
            texts: Vec::new(),
        })
    }

    /// Takes note of a token of answer number `index`.
    pub fn take(&mut self, index: usize, token: &Token) {
        self.tokens += 1;
        self.last = self.received.elapsed();
        self.first.get_or_insert(self.last);
        if self.texts.len() <= index {
            self.texts.resize(index + 1, String::new());
        }
        self.texts[index].push_str(&token.text);
    }

    /// Records the answers. When this returns, they survive the end of the process.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn finish(self) -> Result<(), ApiError> {
        let first = self.first.unwrap_or(self.last);
        let metrics = &self.state.metrics;
        metrics.time_to_first_token.observe(first.as_secs_f64());
        if self.tokens > 1 {
            let each = self.last.saturating_sub(first).as_secs_f64() / (self.tokens - 1) as f64;
            metrics.time_per_token.observe(each);
        }
        let (prompt, generated) = (self.prompt_tokens as u64, self.tokens as u64);
        metrics.count_tokens(&self.model, prompt, generated);
        self.state.limits.charge(&self.caller, prompt + generated);
        let finished = Finished {
            text: Some(self.texts.join("\n\n")),
            prompt_tokens: u32::try_from(self.prompt_tokens).ok(),
            completion_tokens: u32::try_from(self.tokens).ok(),
            first_token_ms: Some(first.as_secs_f64() * 1e3),
            ..Finished::default()
        };
        Ok(self.turn.finish(finished).await?)
    }

    /// Records that the server failed.
    pub async fn fail(self, error: &ApiError) {
        self.state.metrics.count_error("generation");
        if let Err(store) = self.turn.fail(&error.to_string()).await {
            tracing::error!("a failed turn could not be recorded: {store}");
        }
    }
}
