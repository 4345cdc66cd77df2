//! Conversations: what was said, who has them, and what happens in them.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

use super::ask::sse;
use super::query::Query;
use crate::error::ApiError;
use crate::http::auth::{Admin, Agent, Client, Require, Role};
use crate::http::body::JsonBody;
use crate::http::shutdown::Stage;
use crate::markdown::to_html;
use crate::state::Shared;
use crate::store::{
    Actor, Conversation, CustomerData, Feedback, Message, MessageRole, NewMessage, Page, Session,
    SessionFilter, SessionRow, Status, Timestamp,
};

/// Longest message of a person, in bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// Lines of an export that wait for the client.
const LINES: usize = 16;

/// `GET /v1/sessions/{id}`: a conversation with its messages.
pub async fn session(
    State(state): State<Shared>,
    _: Require<Client>,
    Path(id): Path<String>,
) -> Result<Json<Conversation>, ApiError> {
    Ok(Json(state.store.conversation(&id).await?))
}

/// Which conversations to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    status: Option<Status>,
    customer: Option<String>,
    query: Option<String>,
    #[serde(default)]
    limit: u32,
    before: Option<String>,
}

/// `GET /v1/sessions`: conversations, the one with the newest event first.
pub async fn sessions(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<SessionRow>>, ApiError> {
    let ListQuery { status, customer, query, limit, before } = query;
    let filter = SessionFilter { status, customer, query, limit: limit.min(500), before };
    Ok(Json(state.store.sessions(filter).await?))
}

/// `GET /v1/sessions/{id}/events`: what happens in it from now on.
pub async fn events(
    State(state): State<Shared>,
    _: Require<Client>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    // Watched before it is looked up, so that nothing is missed in between.
    let watch = state.notices.watch(&id);
    let session = state.store.session(&id).await?;
    let status = |session: &Session| json!({"status": session.status, "agent": session.agent});
    let first = Event::default().event("status").data(status(&session).to_string());
    let rest = stream::unfold(watch, async |mut watch| {
        let event = match watch.next().await {
            Ok(Some(notice)) => Event::default().event(notice.event).data(notice.data.to_string()),
            Ok(None) => return None,
            Err(_) => Event::default().event("missed").data("{}"),
        };
        Some((event, watch))
    });
    Ok(sse(&state, Stage::Draining, stream::iter([first]).chain(rest)))
}

/// A message of a person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    role: Speaker,
    text: String,
    /// The agent's name; that of the key if it is left out.
    agent: Option<String>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    Agent,
    Customer,
}

/// `POST /v1/sessions/{id}/messages`: a message of an agent, or of a customer to one.
pub async fn message(
    State(state): State<Shared>,
    caller: Require<Client>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<MessageBody>,
) -> Result<(StatusCode, Json<Message>), ApiError> {
    if body.role == Speaker::Agent && !caller.may(Role::Agent) {
        return Err(ApiError::forbidden("this needs the key of an agent"));
    }
    if body.text.len() > MAX_MESSAGE {
        let message =
            format!("a message of {} bytes is too long; {MAX_MESSAGE} is the most", body.text.len());
        return Err(ApiError::bad_request(message).with_param("text"));
    }
    let new = match body.role {
        Speaker::Agent => NewMessage {
            role: MessageRole::Agent,
            agent: Some(body.agent.unwrap_or_else(|| caller.name.clone())),
            html: Some(to_html(&body.text)),
            text: body.text,
        },
        Speaker::Customer if body.agent.is_some() => {
            return Err(ApiError::bad_request("a customer is no agent").with_param("agent"));
        }
        Speaker::Customer => {
            NewMessage { role: MessageRole::Customer, agent: None, html: None, text: body.text }
        }
    };
    let message = state.store.add_message(&id, new).await?;
    state.notices.wrote(&id, &message);
    state.notices.changed(&state.store.session(&id).await?);
    Ok((StatusCode::CREATED, Json(message)))
}

/// Who is to have a conversation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusBody {
    status: Status,
    agent: Option<String>,
}

/// `POST /v1/sessions/{id}/status`: takes, resolves or hands over a conversation.
pub async fn set_status(
    State(state): State<Shared>,
    caller: Require<Client>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<StatusBody>,
) -> Result<Json<Session>, ApiError> {
    let actor = if caller.may(Role::Agent) { Actor::Agent } else { Actor::Customer };
    let agent = match (body.status, body.agent) {
        (Status::Taken, None) => Some(caller.name.clone()),
        (_, agent) => agent,
    };
    let session = state.store.set_status(&id, body.status, agent, actor).await?;
    state.notices.changed(&session);
    Ok(Json(session))
}

/// `DELETE /v1/sessions/{id}`
pub async fn delete(
    State(state): State<Shared>,
    _: Require<Admin>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    state.store.delete_session(&id).await?;
    Ok(Json(json!({"deleted": 1})))
}

/// `GET /v1/customers/{customer}`: all there is of one customer.
pub async fn customer(
    State(state): State<Shared>,
    _: Require<Admin>,
    Path(customer): Path<String>,
) -> Result<Json<CustomerData>, ApiError> {
    Ok(Json(state.store.customer(&customer).await?))
}

/// `DELETE /v1/customers/{customer}`: deletes all there is of one customer.
pub async fn delete_customer(
    State(state): State<Shared>,
    _: Require<Admin>,
    Path(customer): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"deleted": state.store.delete_customer(&customer).await?})))
}

/// A span of time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// From here on.
    pub from: Option<Timestamp>,
    /// Until before here.
    pub to: Option<Timestamp>,
}

/// `GET /v1/sessions/export`: conversations, a line each.
pub async fn export(
    State(state): State<Shared>,
    _: Require<Admin>,
    Query(span): Query<Span>,
) -> Result<Response, ApiError> {
    let (from, to) = (span.from.unwrap_or(Timestamp::from_millis(0)), span.to.unwrap_or_else(Timestamp::now));
    let (send, lines) = tokio::sync::mpsc::channel(LINES);
    tokio::task::spawn_blocking(move || {
        let sent = |line| send.blocking_send(line).is_ok();
        match state.store.export(from, to) {
            Ok(mut exported) => {
                // Ends early where the client is gone.
                exported.all(|line| sent(line.map_err(io::Error::other)));
            }
            Err(error) => drop(sent(Err(io::Error::other(error)))),
        }
    });
    let body = Body::from_stream(ReceiverStream::new(lines));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// `POST /v1/turns/{id}/feedback`: what the customer thought of an answer.
pub async fn feedback(
    State(state): State<Shared>,
    _: Require<Client>,
    Path(id): Path<String>,
    JsonBody(feedback): JsonBody<Feedback>,
) -> Result<Json<Value>, ApiError> {
    let is_good = feedback.rating == crate::store::Rating::Up;
    state.store.rate(&id, feedback).await?;
    state.metrics.count_feedback(is_good);
    Ok(Json(json!({"ok": true})))
}
