//! `POST /v1/ask`: answers a message from the knowledge base, with the passages that it rests on, or hands it over.
//!
//! The walk: a place in the queue → the turn is recorded → [`Answerer`](rag::Answerer) → perhaps the model's
//! [wording] → the whole answer is recorded → it is sent. From the second step on it runs in a task of its own, so
//! that a connection that breaks loses nothing: `GET /v1/turns/{id}/events` gives the answer again.

mod form;
mod wording;

pub(super) use form::{metadata, passage};

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use rag::{AnswerOptions, MetadataFilter, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocking;
use crate::asking::Place;
use crate::error::ApiError;
use crate::http::auth::{Caller, Client, Require};
use crate::http::body::JsonBody;
use crate::http::shutdown::Stage;
use crate::running::{Answering, Awaited, Ended};
use crate::state::Shared;
use crate::store::{Finished, MessageRole, NewTurn, OpenTurn, SessionOf, Status, TurnState};

/// Longest message, in bytes: nobody asks more, and what is longer would only cost time.
const MAX_MESSAGE: usize = 16 << 10;
/// Most earlier messages that are looked at.
const MAX_HISTORY: usize = 100;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    question: String,
    /// The conversation that it belongs to; a new one if it is left out.
    session: Option<String>,
    /// The conversation before, the oldest message first; that of the session if it is left out.
    #[serde(default)]
    history: Vec<Said>,
    /// Who words the answer.
    #[serde(default)]
    wording: Wording,
    /// The customer, by the name that the integrator gives.
    customer: Option<String>,
    /// Tag of the language of fixed texts, in place of the message's.
    language: Option<String>,
    /// Which articles may be read.
    #[serde(default)]
    filter: MetadataFilter,
    #[serde(default)]
    stream: bool,
}

/// A message of a conversation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    role: Role,
    content: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

/// Who words an answer.
#[derive(Debug, Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wording {
    /// The articles: their own sentences.
    #[default]
    Articles,
    /// The model; sentences that the articles do not say are left out, and if none is left the articles' own come
    /// in their place.
    Model,
}

/// Answers the message.
pub async fn ask(
    State(state): State<Shared>,
    caller: Require<Client>,
    JsonBody(body): JsonBody<AskRequest>,
) -> Result<Response, ApiError> {
    let received = Instant::now();
    body.check()?;
    let knowledge = state.knowledge()?;
    if let Some(language) = body.language.as_ref().filter(|language| !knowledge.speaks(language)) {
        let message =
            format!("there are no replies in `{language}`; add them with --replies, or leave it out");
        return Err(ApiError::bad_request(message).with_param("language"));
    }
    let place = state.asking.place()?;
    let earlier = earlier(&state, &body).await?;
    let streams = body.stream;
    let session = match (&body.session, body.history.is_empty()) {
        (Some(id), _) => SessionOf::Existing(id.clone()),
        (None, true) => SessionOf::New,
        (None, false) => SessionOf::None, // the client keeps the conversation
    };
    let turn = state
        .store
        .begin(NewTurn {
            session,
            customer: body.customer.clone(),
            caller: Some(caller.id.clone()),
            endpoint: "/v1/ask".into(),
            model: (body.wording == Wording::Model).then(|| state.model.clone()),
            language: body.language.clone(),
            question: body.question.clone(),
            ..NewTurn::default()
        })
        .await?;
    let start = json!({"id": turn.id(), "session": turn.session(), "language": body.language});
    let (answering, awaited) = state.running.begin(turn.id());
    let task = Task { state: state.clone(), caller: caller.clone(), body, earlier, received, place };
    tokio::spawn(task.run(turn, answering));
    if streams {
        return Ok(sse(&state, Stage::Closing, stream_of(start, 0, awaited)));
    }
    Ok(Json(awaited.end().await?).into_response())
}

/// The stream of an answer again, after the event that the client has seen last.
pub async fn events(
    State(state): State<Shared>,
    _: Require<Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seen = headers.get("last-event-id").and_then(|seen| seen.to_str().ok()?.parse::<usize>().ok());
    let next = seen.map_or(0, |seen| seen.saturating_add(1));
    // First those under way: one that ends in between is found in the store.
    let running = state.running.find(&id);
    let turn = state.store.turn(&id).await?;
    let start = json!({"id": turn.id, "session": turn.session, "language": turn.language});
    if let Some(awaited) = running {
        return Ok(sse(&state, Stage::Closing, stream_of(start, next, awaited)));
    }
    let ended = match (turn.state, turn.answer) {
        (TurnState::Done, Some(answer)) => Ok(answer),
        (TurnState::Open, _) => Err(ApiError::unavailable("the answer is under way elsewhere")),
        _ => {
            let reason = turn.error.unwrap_or_else(|| "the answer was abandoned".into());
            Err(ApiError::internal(reason))
        }
    };
    Ok(sse(&state, Stage::Closing, stream::iter(events_of(&start, &ended).into_iter().skip(next))))
}

impl AskRequest {
    /// Refuses what is no message before anything is computed.
    fn check(&self) -> Result<(), ApiError> {
        check_message("question", &self.question)?;
        for said in &self.history {
            check_length("history", &said.content)?;
        }
        if self.history.len() > MAX_HISTORY {
            let message = format!("history has {} messages; {MAX_HISTORY} is the most", self.history.len());
            return Err(ApiError::bad_request(message).with_param("history"));
        }
        Ok(())
    }
}

/// Refuses a message that says nothing, or too much.
pub(super) fn check_message(name: &'static str, text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::bad_request(format!("the {name} is empty")).with_param(name));
    }
    check_length(name, text)
}

fn check_length(name: &'static str, text: &str) -> Result<(), ApiError> {
    if text.len() > MAX_MESSAGE {
        let message = format!("a message of {} bytes is too long; {MAX_MESSAGE} is the most", text.len());
        return Err(ApiError::bad_request(message).with_param(name));
    }
    Ok(())
}

/// The customer's messages before this one, the oldest first.
async fn earlier(state: &Shared, body: &AskRequest) -> Result<Vec<String>, ApiError> {
    let given = body.history.iter().filter(|said| said.role == Role::User);
    let given = given.map(|said| said.content.clone()).collect();
    let Some(id) = &body.session else { return Ok(given) };
    let conversation = state.store.conversation(id).await?;
    if conversation.session.status == Status::Taken {
        let message = "a person has this conversation; send the message to /v1/sessions/{id}/messages";
        return Err(ApiError::conflict(message).with_code("session_taken"));
    }
    // An edited question: what was said after it no longer counts.
    if !body.history.is_empty() {
        return Ok(given);
    }
    let messages = conversation.messages.into_iter();
    let mine = messages.filter(|message| message.role == MessageRole::Customer);
    let mut mine: Vec<String> = mine.map(|message| message.text).collect();
    mine.drain(..mine.len().saturating_sub(MAX_HISTORY));
    Ok(mine)
}

/// The work of one answer.
struct Task {
    state: Shared,
    caller: Caller,
    body: AskRequest,
    earlier: Vec<String>,
    received: Instant,
    place: Place,
}

impl Task {
    /// Answers, records the answer, and gives it to those who wait for it.
    async fn run(self, turn: OpenTurn, answering: Answering) {
        let (state, session) = (self.state.clone(), turn.session().map(str::to_string));
        let id = turn.id().to_string();
        let ended = match self.answer(&id, session.as_deref()).await {
            Ok(finished) => {
                let answer = finished.answer.clone();
                match turn.finish(finished).await {
                    Ok(()) => Ok(answer),
                    Err(error) => Err(ApiError::from(error)),
                }
            }
            Err(error) => {
                if let Err(store) = turn.fail(&error.to_string()).await {
                    tracing::error!("a failed turn could not be recorded: {store}");
                }
                state.metrics.count_error("ask");
                Err(error)
            }
        };
        answering.end(ended);
        if let Some(session) = session {
            notify(&state, &session, &id).await;
        }
    }

    async fn answer(self, id: &str, session: Option<&str>) -> Result<Finished, ApiError> {
        let Task { state, caller, body, earlier, received, place } = self;
        let turn = place.turn().await?;
        let queued = received.elapsed();
        let (shared, asked) = (state.clone(), body.question.clone());
        let (language, filter, wording) = (body.language.clone(), body.filter, body.wording);
        let (mut answer, prompt) = blocking(move || {
            let knowledge = shared.knowledge()?;
            let earlier: Vec<&str> = earlier.iter().map(String::as_str).collect();
            let options = AnswerOptions { filter, language, ..knowledge.options().clone() };
            let answer = knowledge
                .answer_with(&asked, &earlier, &options)
                .map_err(|error| ApiError::failed("the search", error))?;
            let prompt = match (wording, answer.outcome) {
                (Wording::Model, Outcome::Answered) => Some(wording::prompt(&shared, &answer)?),
                _ => None,
            };
            Ok((answer, prompt))
        })
        .await?;
        drop(turn);
        let retrieved = received.elapsed();
        state.metrics.queue_time.observe(queued.as_secs_f64());
        state.metrics.retrieval_time.observe(retrieved.saturating_sub(queued).as_secs_f64());
        let mut worded_by = Wording::Articles;
        let mut tokens = (None, None);
        if let Some(prompt) = prompt {
            let prompt_tokens = prompt.len();
            match wording::word(&state, prompt, &answer).await {
                Ok((worded, generated)) => {
                    tokens = (u32::try_from(prompt_tokens).ok(), u32::try_from(generated).ok());
                    state.limits.charge(&caller, (prompt_tokens + generated) as u64);
                    if let Some((text, sentences)) = worded {
                        (answer.text, answer.sentences) = (text, sentences);
                        worded_by = Wording::Model;
                    }
                }
                // The articles' own sentences are there already.
                Err(error) => tracing::warn!("the model did not word an answer: {error}"),
            }
        }
        let times = form::Times { queued, retrieved, total: received.elapsed() };
        let shown = form::shown(&body.question, &answer, worded_by, &times, id, session);
        state.metrics.count_outcome(form::outcome(answer.outcome));
        if let Some(reason) = shown["handoff"]["reason"].as_str() {
            state.metrics.count_handoff(reason);
        }
        Ok(Finished {
            answer: shown,
            prompt_tokens: tokens.0,
            completion_tokens: tokens.1,
            queued_ms: Some(queued.as_secs_f64() * 1e3),
            first_token_ms: Some(received.elapsed().as_secs_f64() * 1e3),
            ..Finished::default()
        })
    }
}

/// Tells those who watch the conversation what the turn added to it.
async fn notify(state: &Shared, session: &str, turn: &str) {
    if !state.notices.are_watched() {
        return;
    }
    match state.store.conversation(session).await {
        Ok(conversation) => {
            let added = conversation.messages.iter().filter(|message| message.turn.as_deref() == Some(turn));
            added.for_each(|message| state.notices.wrote(session, message));
            state.notices.changed(&conversation.session);
        }
        Err(error) => tracing::warn!("watchers of {session} are not told of an answer: {error}"),
    }
}

/// An answer as events: where it begins, its sentences, and all of it; or the error in its place.
fn events_of(start: &Value, ended: &Ended) -> Vec<Event> {
    let mut parts = vec![("start", start.clone())];
    parts.extend(events_after_start(ended));
    parts.into_iter().enumerate().map(|(number, (name, data))| event(number, name, &data)).collect()
}

fn events_after_start(ended: &Ended) -> Vec<(&'static str, Value)> {
    let answer = match ended {
        Ok(answer) => answer,
        Err(error) => return vec![("error", error.body())],
    };
    let sentences = answer["sentences"].as_array().into_iter().flatten().enumerate();
    let mut parts: Vec<(&str, Value)> = sentences
        .map(|(index, sentence)| {
            let mut sentence = sentence.clone();
            sentence["index"] = index.into();
            ("sentence", sentence)
        })
        .collect();
    parts.push(("done", answer.clone()));
    parts
}

fn event(number: usize, name: &str, data: &Value) -> Event {
    Event::default().id(number.to_string()).event(name).data(data.to_string())
}

/// The events of an answer under way from number `next` on.
fn stream_of(start: Value, next: usize, awaited: Awaited) -> impl Stream<Item = Event> + Send + 'static {
    let first = (next == 0).then(|| event(0, "start", &start));
    let rest = stream::once(awaited.end()).flat_map(move |ended| {
        let events = events_of(&start, &ended).into_iter();
        stream::iter(events.skip(next.max(1)).collect::<Vec<_>>())
    });
    stream::iter(first).chain(rest)
}

/// A response of events, which ends with an error where the server has come to the stage `until` of its end.
pub(super) fn sse(
    state: &Shared,
    until: Stage,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response {
    let last = || {
        let error = ApiError::unavailable("the server is stopping").with_code("stopping").body();
        Event::default().event("error").data(error.to_string())
    };
    let events = state.shutdown.end_stream(until, events, last);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    let results = events.map(Ok::<_, std::convert::Infallible>);
    Sse::new(results).keep_alive(keep_alive).into_response()
}

#[cfg(test)]
mod tests;
