//! What a team lead looks at: figures, turns, and the state of the server.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::Query;
use super::sessions::Span;
use crate::error::ApiError;
use crate::http::auth::{Agent, Client, Require};
use crate::state::{Shared, now};
use crate::store::{Dashboard, Outcome, Page, Rating, Timestamp, TurnFilter, TurnRow};

/// What is shown where the request does not say.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

async fn figures(state: &Shared, span: Span) -> Result<Dashboard, ApiError> {
    let to = span.to.unwrap_or_else(Timestamp::now);
    let from = span.from.unwrap_or_else(|| to.before(WEEK));
    Ok(state.store.dashboard(from, to).await?)
}

/// `GET /v1/dashboard`
pub async fn dashboard(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(span): Query<Span>,
) -> Result<Json<Dashboard>, ApiError> {
    Ok(Json(figures(&state, span).await?))
}

/// `GET /v1/dashboard.csv`
pub async fn dashboard_csv(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(span): Query<Span>,
) -> Result<Response, ApiError> {
    let csv = figures(&state, span).await?.csv();
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"dashboard.csv\""),
    ];
    Ok((headers, csv).into_response())
}

/// Which turns to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnsQuery {
    outcome: Option<Outcome>,
    rating: Option<i8>,
    query: Option<String>,
    #[serde(default)]
    limit: u32,
    before: Option<String>,
}

/// `GET /v1/turns`
pub async fn turns(
    State(state): State<Shared>,
    _: Require<Agent>,
    Query(query): Query<TurnsQuery>,
) -> Result<Json<Page<TurnRow>>, ApiError> {
    let TurnsQuery { outcome, rating, query, limit, before } = query;
    let rating = match rating {
        None => None,
        Some(1) => Some(Rating::Up),
        Some(-1) => Some(Rating::Down),
        Some(other) => {
            return Err(
                ApiError::bad_request(format!("rating is {other}; it is 1 or -1")).with_param("rating")
            );
        }
    };
    let filter = TurnFilter { outcome, rating, query, limit: limit.min(500), before };
    Ok(Json(state.store.turns(filter).await?))
}

/// `GET /v1/status`
pub async fn status(State(state): State<Shared>, caller: Require<Client>) -> Json<Value> {
    let (documents, passages, skipped) = state.counts();
    Json(json!({
        "name": "Hearth",
        "version": env!("CARGO_PKG_VERSION"),
        "model": state.model,
        "adapter": state.adapters.first().map(|adapter| &adapter.name),
        "embedder": state.embeddings.as_ref().map(|embeddings| &embeddings.model),
        "documents": documents,
        "passages": passages,
        "skipped": skipped,
        "keys": state.store.has_keys(),
        "role": caller.role.name(),
        "uptime_s": now().saturating_sub(state.started),
    }))
}
