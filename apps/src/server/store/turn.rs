//! A turn: one question and its answer, from the first byte to the last.
//!
//! [`Store::begin`] records it before the first byte leaves and returns an [`OpenTurn`]. Whoever answers owns that;
//! [`OpenTurn::finish`] or [`OpenTurn::fail`] ends it, and dropping it records that it was abandoned. What a killed
//! process left open is abandoned when the file is opened again.

use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use super::error::StoreError;
use super::feedback::Feedback;
use super::redact::Redactor;
use super::session;
use super::timestamp::Timestamp;
use crate::id::new_id;

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// From the articles.
    Answered,
    /// The articles have no answer.
    NoAnswer,
    /// It was no question.
    Talk,
    /// The customer wants a person.
    Handoff,
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// It is being answered.
    Open,
    /// It was answered.
    Done,
    /// The client or the server went away.
    Abandoned,
    /// The server failed.
    Failed,
}

super::page::text_enum!(Outcome, "outcome", {
    Answered => "answered", NoAnswer => "no_answer", Talk => "talk", Handoff => "handoff",
});
super::page::text_enum!(TurnState, "state", {
    Open => "open", Done => "done", Abandoned => "abandoned", Failed => "failed",
});

/// The conversation that a turn belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionOf {
    /// None: the request brought its whole conversation.
    #[default]
    None,
    /// A new one.
    New,
    /// The one with this identifier, which must be there.
    Existing(String),
}

/// A turn that begins.
#[derive(Debug, Clone, Default)]
pub struct NewTurn {
    /// The conversation.
    pub session: SessionOf,
    /// The customer, by the name that the integrator gives; stored as it is.
    pub customer: Option<String>,
    /// The key that asked.
    pub caller: Option<String>,
    /// The endpoint, as `/v1/ask`.
    pub endpoint: String,
    /// The model.
    pub model: Option<String>,
    /// The adapter.
    pub adapter: Option<String>,
    /// The language of the conversation, if it is known yet.
    pub language: Option<String>,
    /// The question.
    pub question: String,
    /// Fields of the request that only describe it: `user`, `metadata`.
    pub described: Option<Value>,
    /// When the request was received; now if `None`.
    pub received: Option<Timestamp>,
}

/// What a turn ended with.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    /// The whole answer as the contract has it. Text, outcome, intent, reason of a handoff, language and cited
    /// documents are taken from it where it has them.
    pub answer: Value,
    /// The answer's text, where `answer` has no field `answer` (other endpoints).
    pub text: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u32>,
    /// Tokens generated.
    pub completion_tokens: Option<u32>,
    /// Milliseconds from receipt until work began.
    pub queued_ms: Option<f64>,
    /// Milliseconds from receipt until the first token.
    pub first_token_ms: Option<f64>,
}

/// A turn as it is stored.
#[derive(Debug, Clone, Serialize)]
pub struct Turn {
    /// Its identifier.
    pub id: String,
    /// Its conversation.
    pub session: Option<String>,
    /// The customer.
    pub customer: Option<String>,
    /// The key that asked.
    pub caller: Option<String>,
    /// The endpoint.
    pub endpoint: String,
    /// The model.
    pub model: Option<String>,
    /// The adapter.
    pub adapter: Option<String>,
    /// The language.
    pub language: Option<String>,
    /// The question.
    pub question: String,
    /// What only describes the request.
    pub described: Option<Value>,
    /// Where it stands.
    pub state: TurnState,
    /// When the request was received.
    pub created: Timestamp,
    /// When it ended.
    pub done: Option<Timestamp>,
    /// Milliseconds from receipt until work began.
    pub queued_ms: Option<f64>,
    /// Milliseconds from receipt until the first token.
    pub first_token_ms: Option<f64>,
    /// Milliseconds from receipt to the end.
    pub total_ms: Option<f64>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u32>,
    /// Tokens generated.
    pub completion_tokens: Option<u32>,
    /// The answer's text.
    pub answer_text: Option<String>,
    /// The whole answer.
    pub answer: Option<Value>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// The intent.
    pub intent: Option<String>,
    /// Why a person is wanted.
    pub handoff: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What the customer thought of it.
    pub feedback: Option<Feedback>,
}

/// The columns of [`Turn::read`].
pub(super) const COLUMNS: &str = "t.id, t.session, t.customer, t.caller, t.endpoint, t.model, t.adapter, t.language,
    t.question, t.described, t.state, t.created, t.done, t.queued_ms, t.first_token_ms, t.total_ms, t.prompt_tokens,
    t.completion_tokens, t.answer_text, t.answer, t.outcome, t.intent, t.handoff, t.error,
    f.rating, f.correction, f.remark";

impl Turn {
    pub(super) fn read(row: &Row) -> rusqlite::Result<Self> {
        let json = |name: &str| {
            row.get::<_, Option<String>>(name)?.map_or(Ok(None), |text| {
                let kind = rusqlite::types::Type::Text;
                serde_json::from_str(&text)
                    .map(Some)
                    .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error)))
            })
        };
        Ok(Self {
            id: row.get("id")?,
            session: row.get("session")?,
            customer: row.get("customer")?,
            caller: row.get("caller")?,
            endpoint: row.get("endpoint")?,
            model: row.get("model")?,
            adapter: row.get("adapter")?,
            language: row.get("language")?,
            question: row.get("question")?,
            described: json("described")?,
            state: row.get("state")?,
            created: row.get("created")?,
            done: row.get("done")?,
            queued_ms: row.get("queued_ms")?,
            first_token_ms: row.get("first_token_ms")?,
            total_ms: row.get("total_ms")?,
            prompt_tokens: row.get("prompt_tokens")?,
            completion_tokens: row.get("completion_tokens")?,
            answer_text: row.get("answer_text")?,
            answer: json("answer")?,
            outcome: row.get("outcome")?,
            intent: row.get("intent")?,
            handoff: row.get("handoff")?,
            error: row.get("error")?,
            feedback: Feedback::read(row)?,
        })
    }
}

/// A turn that is being answered. Dropped without an end, it is recorded as abandoned.
pub struct OpenTurn {
    store: Store,
    id: String,
    session: Option<String>,
    received: Timestamp,
    is_ended: bool,
}

impl Store {
    /// Records a turn before its first byte leaves.
    ///
    /// In a resolved conversation it opens the conversation again.
    ///
    /// # Errors
    /// If there is no such conversation, it is another customer's, or the disk fails.
    pub async fn begin(&self, turn: NewTurn) -> Result<OpenTurn, StoreError> {
        let NewTurn { question, described, customer, caller, endpoint, model, adapter, language, .. } = turn;
        let question = self.redacted(&question);
        let described = described.map(|mut described| {
            if let Some(redactor) = &self.inner.redactor {
                redactor.redact_json(&mut described, &[]);
            }
            described.to_string()
        });
        let received = turn.received.unwrap_or_else(Timestamp::now);
        let (session, is_new) = match turn.session {
            SessionOf::None => (None, false),
            SessionOf::New => (Some(new_id()), true),
            SessionOf::Existing(id) => (Some(id), false),
        };
        let place = self.inner.writer.place().await?;
        // From here on, dropping this future abandons the turn: the guard is there before the row is.
        let mut open = OpenTurn { store: self.clone(), id: new_id(), session, received, is_ended: false };
        let (id, session) = (open.id.clone(), open.session.clone());
        let write = move |connection: &Connection| {
            if let Some(session) = &session {
                if is_new {
                    session::insert(connection, session, received)?;
                }
                session::touch(connection, session, received, customer.as_deref(), language.as_deref())?;
                session::reopen(connection, session, received)?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO turns (id, session, customer, caller, endpoint, model, adapter, language, question,
                        described, state, created)
                     VALUES (:id, :session, :customer, :caller, :endpoint, :model, :adapter, :language, :question,
                        :described, 'open', :created)",
                )?
                .execute(named_params! {
                    ":id": id, ":session": session, ":customer": customer, ":caller": caller,
                    ":endpoint": endpoint, ":model": model, ":adapter": adapter, ":language": language,
                    ":question": question, ":described": described, ":created": received,
                })?;
            Ok(())
        };
        let written = self.inner.writer.send(Some(place), false, write, |()| {}).await;
        if let Err(error) = written.map_err(|_| StoreError::Closed).flatten() {
            open.is_ended = true; // nothing was recorded
            return Err(error);
        }
        Ok(open)
    }

    /// A turn.
    ///
    /// # Errors
    /// If there is none of this identifier, or the disk fails.
    pub async fn turn(&self, id: &str) -> Result<Turn, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM turns t LEFT JOIN feedback f ON f.turn = t.id WHERE t.id = ?1"
            );
            let turn = connection.prepare_cached(&sql)?.query_row([&id], Turn::read).optional()?;
            turn.ok_or_else(|| StoreError::not_found("turn", &id))
        })
        .await
    }
}

impl OpenTurn {
    /// The turn's identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its conversation.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Records the answer and returns when it is committed: before the last event is sent.
    ///
    /// Where the customer asked for a person, the conversation waits for one from now on.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn finish(mut self, finished: Finished) -> Result<(), StoreError> {
        let place = self.store.inner.writer.place().await?;
        let write = self.answered(finished);
        let written = self.store.inner.writer.send(Some(place), false, write, |()| {});
        self.is_ended = true; // the record is on its way: whoever drops this future does not undo it
        written.await.map_err(|_| StoreError::Closed)?
    }

    /// Records that the server failed.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn fail(mut self, error: &str) -> Result<(), StoreError> {
        let place = self.store.inner.writer.place().await?;
        let (id, received, now) = (self.id.clone(), self.received, Timestamp::now());
        let error = self.store.redacted(error);
        let write = move |connection: &Connection| {
            end(connection, &id, TurnState::Failed, received, now, Some(&error))
        };
        let written = self.store.inner.writer.send(Some(place), false, write, |()| {});
        self.is_ended = true;
        written.await.map_err(|_| StoreError::Closed)?
    }

    fn answered(
        &self,
        finished: Finished,
    ) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static {
        let Finished { mut answer, text, prompt_tokens, completion_tokens, queued_ms, first_token_ms } =
            finished;
        let mut text = answer.get("answer").and_then(Value::as_str).map(str::to_string).or(text);
        if let Some(redactor) = &self.store.inner.redactor {
            text = text.map(|text| redactor.redact(&text, &passages(&answer)));
            redact_answer(redactor, &mut answer);
        }
        let string = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_string);
        let outcome = string("outcome").and_then(|outcome| Outcome::from_str(&outcome).ok());
        let (intent, language) = (string("intent"), string("language"));
        let handoff = answer.pointer("/handoff/reason").and_then(Value::as_str).map(str::to_string);
        let cited = cited(&answer);
        let (id, session, received, now) =
            (self.id.clone(), self.session.clone(), self.received, Timestamp::now());
        move |connection| {
            let answer = (!answer.is_null()).then(|| answer.to_string());
            let changed = connection
                .prepare_cached(
                    "UPDATE turns SET state = 'done', done = :done, queued_ms = :queued, first_token_ms = :first,
                        total_ms = :total, prompt_tokens = :prompt, completion_tokens = :completion,
                        answer_text = :text, answer = :answer, outcome = :outcome, intent = :intent,
                        handoff = :handoff, language = coalesce(:language, language)
                     WHERE id = :id AND state = 'open'",
                )?
                .execute(named_params! {
                    ":done": now, ":queued": queued_ms, ":first": first_token_ms,
                    ":total": (now.millis() - received.millis()).max(0) as f64, ":prompt": prompt_tokens,
                    ":completion": completion_tokens, ":text": text, ":answer": answer, ":outcome": outcome,
                    ":intent": intent, ":handoff": handoff, ":language": language, ":id": id,
                })?;
            if changed == 0 {
                // Its conversation was deleted while it was answered.
                return Err(StoreError::not_found("open turn", &id));
            }
            for (document, title) in cited {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO citations (turn, document, title) VALUES (?1, ?2, ?3)",
                    )?
                    .execute((&id, document, title))?;
            }
            if let Some(session) = session {
                session::touch(connection, &session, now, None, language.as_deref())?;
                if outcome == Some(Outcome::Handoff) {
                    session::ask_for_a_person(connection, &session, now)?;
                }
            }
            Ok(())
        }
    }
}

impl Drop for OpenTurn {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        let (id, received, now) = (self.id.clone(), self.received, Timestamp::now());
        // Without a place in the queue, so that it cannot fail here: there is one of these for each open turn.
        self.store.inner.writer.send(
            None,
            false,
            move |connection| {
                end(connection, &id, TurnState::Abandoned, received, now, None).inspect_err(|error| {
                    tracing::error!(turn = id, "an abandoned turn could not be recorded: {error}");
                })
            },
            |()| {},
        );
    }
}

fn end(
    connection: &Connection,
    id: &str,
    state: TurnState,
    received: Timestamp,
    now: Timestamp,
    error: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE turns SET state = ?2, done = ?3, total_ms = ?4, error = ?5 WHERE id = ?1 AND state = 'open'",
        )?
        .execute((id, state, now, (now.millis() - received.millis()).max(0) as f64, error))?;
    Ok(())
}

/// Records as abandoned what a killed process left open.
pub(super) fn abandon_open(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE turns SET state = 'abandoned', error = 'the server was stopped' WHERE state = 'open'",
        (),
    )?;
    Ok(())
}

/// The texts of the passages that an answer rests on.
fn passages(answer: &Value) -> Vec<&str> {
    let context = answer.get("context").and_then(Value::as_array).into_iter().flatten();
    context.filter_map(|passage| passage.get("text").and_then(Value::as_str)).collect()
}

/// Redacts an answer but for its passages, which are the articles' own, and what stands in them.
fn redact_answer(redactor: &Redactor, answer: &mut Value) {
    let Some(fields) = answer.as_object_mut() else {
        return redactor.redact_json(answer, &[]);
    };
    // The passages are taken out, so that the other fields can change while they are looked at.
    let whole = serde_json::json!({ "context": fields.get_mut("context").map(Value::take) });
    let kept = passages(&whole);
    for (name, value) in fields.iter_mut() {
        if !matches!(name.as_str(), "id" | "session" | "context") {
            redactor.redact_json(value, &kept);
        }
    }
    if let Some(slot) = fields.get_mut("context") {
        *slot = whole["context"].clone();
    }
}

/// The documents that an answer's sentences cite, with their titles.
fn cited(answer: &Value) -> Vec<(String, Option<String>)> {
    let array =
        |name: &str| answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let context = array("context");
    let passage = |sentence: &Value| {
        let number = usize::try_from(sentence.get("citation")?.as_u64()?).ok()?;
        let passage = context.get(number.checked_sub(1)?)?;
        let string = |name: &str| passage.get(name).and_then(Value::as_str).map(str::to_string);
        Some((string("document").or_else(|| string("source"))?, string("title")))
    };
    array("sentences").iter().filter_map(passage).collect()
}
