//! The common part of OpenAI's two endpoints that generate: parameters, and the form of answers and streams.

use std::convert::Infallible;

use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use llama::{GenerateError, Request, Sampling, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters::{OneOrMany, seed, stop_strings};
use crate::error::ApiError;
use crate::state::{AppState, now};

/// OpenAI's parameters of generation, with `top_k`, `min_p`, `repetition_penalty` and `ignore_eos` as
/// vLLM adds them. Others are ignored.
#[derive(Debug, Default, Deserialize)]
pub struct OpenAiParameters {
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<usize>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl OpenAiParameters {
    /// The request that continues `prompt`, by `max_tokens` where these parameters do not say.
    ///
    /// # Errors
    /// If a parameter is outside what this server does.
    pub fn request(&self, prompt: Vec<u32>, max_tokens: usize) -> Result<Request, ApiError> {
        if let Some(n) = self.n.filter(|&n| n != 1) {
            let message = format!("n is {n}; this server gives one answer per request");
            return Err(ApiError::bad_request(message).with_param("n"));
        }
        let default = Sampling { temperature: 1.0, ..Sampling::default() }; // OpenAI's
        Ok(Request {
            max_tokens: self.max_completion_tokens.or(self.max_tokens).unwrap_or(max_tokens),
            stop: stop_strings(self.stop.clone())?,
            ignore_eos: self.ignore_eos.unwrap_or(false),
            sampling: Sampling {
                temperature: self.temperature.unwrap_or(default.temperature),
                top_k: self.top_k.unwrap_or(default.top_k),
                top_p: self.top_p.unwrap_or(default.top_p),
                min_p: self.min_p.unwrap_or(default.min_p),
                repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
                seed: seed(self.seed),
            },
            ..Request::new(prompt, max_tokens)
        })
    }
}

/// The OpenAI endpoint being answered.
#[derive(Debug, Clone, Copy)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

/// Generates and answers, at once or as a stream.
///
/// # Errors
/// If the model is overloaded, the request can never be answered, or the model fails.
pub async fn respond(
    state: &AppState,
    endpoint: Endpoint,
    parameters: &OpenAiParameters,
    request: Request,
) -> Result<Response, ApiError> {
    let envelope = Envelope {
        endpoint,
        id: state.answer_id(match endpoint {
            Endpoint::Chat => "chatcmpl",
            Endpoint::Text => "cmpl",
        }),
        created: now(),
        model: state.model.clone(),
        prompt_tokens: request.prompt.len(),
        usage_in_stream: parameters.stream_options.as_ref().is_some_and(|options| options.include_usage),
    };
    let answer = state.submit(request)?;
    if parameters.stream.unwrap_or(false) {
        let events = envelope.events(answer.into_stream());
        Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
    } else {
        let completion = answer.complete().await?;
        let (text, finish) = (completion.text, completion.finish.as_str());
        let choice = match endpoint {
            Endpoint::Chat => json!({"index": 0, "message": {"role": "assistant", "content": text},
                "logprobs": null, "finish_reason": finish}),
            Endpoint::Text => json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish}),
        };
        let mut body = envelope.wrap(json!([choice]), false);
        body["usage"] = envelope.usage(completion.tokens);
        Ok(Json(body).into_response())
    }
}

/// The fields of an answer around its choice.
struct Envelope {
    endpoint: Endpoint,
    id: String,
    created: u64,
    model: String,
    prompt_tokens: usize,
    usage_in_stream: bool,
}

impl Envelope {
    fn wrap(&self, choices: Value, streamed: bool) -> Value {
        let object = match (self.endpoint, streamed) {
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Chat, true) => "chat.completion.chunk",
            (Endpoint::Text, _) => "text_completion",
        };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices})
    }

    fn usage(&self, completion_tokens: usize) -> Value {
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens})
    }

    /// An event with one choice; in a chat `delta` is the message's part, else it is left out.
    fn chunk(&self, delta: Value, text: &str, finish: Option<&str>) -> Event {
        let choice = match self.endpoint {
            Endpoint::Chat => json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}),
            Endpoint::Text => json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish}),
        };
        let mut body = self.wrap(json!([choice]), true);
        if self.usage_in_stream {
            body["usage"] = Value::Null;
        }
        Event::default().data(body.to_string())
    }

    /// The events of an answer: in a chat the role, then its text as it comes, the reason why it
    /// ended, its usage if that was asked for, and `[DONE]`.
    fn events(
        self,
        tokens: impl Stream<Item = Result<Token, GenerateError>> + Send,
    ) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        let role = match self.endpoint {
            Endpoint::Chat => Some(self.chunk(json!({"role": "assistant", "content": ""}), "", None)),
            Endpoint::Text => None,
        };
        let rest =
            tokens.enumerate().flat_map(move |(index, token)| stream::iter(self.token(index + 1, token)));
        stream::iter(role).chain(rest).map(Ok)
    }

    /// The events of the answer's token number `count`.
    fn token(&self, count: usize, token: Result<Token, GenerateError>) -> Vec<Event> {
        let done = Event::default().data("[DONE]");
        let token = match token {
            Ok(token) => token,
            Err(error) => return vec![Event::default().data(ApiError::from(error).body().to_string()), done],
        };
        let mut events = Vec::new();
        if !token.text.is_empty() {
            events.push(self.chunk(json!({"content": token.text}), &token.text, None));
        }
        if let Some(finish) = token.finish {
            events.push(self.chunk(json!({}), "", Some(finish.as_str())));
            if self.usage_in_stream {
                let mut body = self.wrap(json!([]), true);
                body["usage"] = self.usage(count);
                events.push(Event::default().data(body.to_string()));
            }
            events.push(done);
        }
        events
    }
}
