//! Generates the answers of a request, and sends them at once or as a stream.

use std::convert::Infallible;

use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use llama::{GenerateError, Request, Token, Tokenizer};
use serde_json::Value;

use super::choice::Choice;
use super::envelope::Envelope;
use super::recording::{Asked, Recording};
use super::{Described, Streaming};
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::state::{AnswerStream, Shared, now};

/// The OpenAI endpoint being answered.
#[derive(Debug, Clone, Copy)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

/// How the answers of a request are sent.
#[derive(Debug)]
pub struct Reply {
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// The model's name.
    pub model: String,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// At once or as a stream.
    pub streaming: Streaming,
    /// The texts of the prompts, where they are to stand before their answers.
    pub echo: Vec<String>,
    /// Tokens of all prompts, each counted once.
    pub prompt_tokens: usize,
    /// What the answer is to, for the record.
    pub question: String,
    /// What only describes the request.
    pub described: Described,
}

impl Reply {
    /// Generates and answers. The requests of one prompt stand beside each other.
    ///
    /// # Errors
    /// If the model is overloaded, a request can never be answered, or the model fails.
    pub async fn send(
        self,
        state: &Shared,
        caller: &Caller,
        requests: Vec<Request>,
    ) -> Result<Response, ApiError> {
        let envelope = Envelope {
            endpoint: self.endpoint,
            id: state.answer_id(match self.endpoint {
                Endpoint::Chat => "chatcmpl",
                Endpoint::Text => "cmpl",
            }),
            created: now(),
            model: self.model,
            prompt_tokens: self.prompt_tokens,
        };
        let each = requests.len() / self.echo.len().max(1);
        let echo = |index: usize| self.echo.get(index / each.max(1)).cloned().unwrap_or_default();
        let choices: Vec<Choice> =
            (0..requests.len()).map(|index| Choice::new(self.endpoint, index, echo(index))).collect();
        // If one is not taken, the others are dropped, which gives them up.
        let answers =
            requests.into_iter().map(|request| state.submit(request)).collect::<Result<Vec<_>, _>>()?;
        let asked = Asked {
            endpoint: match self.endpoint {
                Endpoint::Chat => "/v1/chat/completions",
                Endpoint::Text => "/v1/completions",
            },
            model: envelope.model.clone(),
            question: self.question,
            prompt_tokens: self.prompt_tokens,
            described: self.described,
        };
        let recording = Recording::begin(state, caller, asked).await?;
        let tokenizer = self.tokenizer;
        if !self.streaming.stream {
            return whole(&envelope, choices, answers, &tokenizer, recording).await;
        }
        let include_usage = self.streaming.include_usage;
        let open = choices.len();
        let recording = Some(recording);
        let events = Events { envelope, choices, tokenizer, include_usage, open, recording }.of(answers);
        Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
    }
}

/// All answers at once.
async fn whole(
    envelope: &Envelope,
    choices: Vec<Choice>,
    answers: Vec<AnswerStream>,
    tokenizer: &Tokenizer,
    mut recording: Recording,
) -> Result<Response, ApiError> {
    let (mut shown, mut tokens) = (Vec::new(), 0);
    for (index, (mut choice, answer)) in choices.into_iter().zip(answers).enumerate() {
        let completion = match answer.complete().await {
            Ok(completion) => completion,
            Err(error) => {
                let error = ApiError::from(error);
                recording.fail(&error).await;
                return Err(error);
            }
        };
        completion.tokens.iter().for_each(|token| recording.take(index, token));
        shown.push(choice.whole(completion.tokens, tokenizer));
        tokens += choice.tokens;
    }
    let mut body = envelope.wrap(shown, false);
    body["usage"] = envelope.usage(tokens);
    recording.finish().await?;
    Ok(Json(body).into_response())
}

/// The events of a stream: in a chat the roles, then the answers' texts as they come and why each ended, their usage if
/// that was asked for, and `[DONE]`. An error ends all.
struct Events {
    envelope: Envelope,
    choices: Vec<Choice>,
    tokenizer: Tokenizer,
    include_usage: bool,
    /// Answers that have not ended.
    open: usize,
    recording: Option<Recording>,
}

impl Events {
    fn of(self, answers: Vec<AnswerStream>) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        let roles: Vec<Event> =
            self.choices.iter().filter_map(Choice::role).map(|part| self.chunk(part)).collect();
        let numbered = |(index, answer): (usize, AnswerStream)| {
            Box::pin(answer.into_stream().map(move |token| (index, token)))
        };
        let tokens = stream::select_all(answers.into_iter().enumerate().map(numbered));
        let rest = stream::unfold((self, tokens), async |(mut events, mut tokens)| {
            if events.open == 0 {
                return None; // dropping the answers that are left gives them up
            }
            let (index, token) = tokens.next().await?;
            Some((stream::iter(events.token(index, token).await), (events, tokens)))
        });
        stream::iter(roles).chain(rest.flatten()).map(Ok)
    }

    /// The events of a token of answer number `index`.
    async fn token(&mut self, index: usize, token: Result<Token, GenerateError>) -> Vec<Event> {
        let done = Event::default().data("[DONE]");
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                self.open = 0;
                let error = ApiError::from(error);
                if let Some(recording) = self.recording.take() {
                    recording.fail(&error).await;
                }
                return vec![Event::default().data(error.body().to_string()), done];
            }
        };
        let has_ended = token.finish.is_some();
        if let Some(recording) = &mut self.recording {
            recording.take(index, &token);
        }
        let Some(choice) = self.choices.get_mut(index) else { return Vec::new() };
        let parts = choice.parts(token, &self.tokenizer);
        let mut events: Vec<Event> = parts.into_iter().map(|part| self.chunk(part)).collect();
        self.open -= usize::from(has_ended);
        if self.open == 0 {
            if self.include_usage {
                let mut body = self.envelope.wrap(Vec::new(), true);
                body["usage"] = self.envelope.usage(self.choices.iter().map(|choice| choice.tokens).sum());
                events.push(Event::default().data(body.to_string()));
            }
            // What is answered is in the store before the client knows that it has all of it.
            if let Some(recording) = self.recording.take()
                && let Err(error) = recording.finish().await
            {
                events.push(Event::default().data(error.body().to_string()));
            }
            events.push(done);
        }
        events
    }

    /// An event with a part of an answer.
    fn chunk(&self, part: Value) -> Event {
        let mut body = self.envelope.wrap(vec![part], true);
        if self.include_usage {
            body["usage"] = Value::Null;
        }
        Event::default().data(body.to_string())
    }
}
