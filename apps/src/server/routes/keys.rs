//! Keys over HTTP, for admins.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::auth::{Admin, Require};
use crate::http::body::JsonBody;
use crate::state::Shared;
use crate::store::{NewKey, Role};

/// `GET /v1/keys`
pub async fn list(State(state): State<Shared>, _: Require<Admin>) -> Json<Value> {
    Json(json!({"data": state.store.keys()}))
}

/// A key to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    name: String,
    role: Role,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
}

/// `POST /v1/keys`: makes a key, which is shown this once.
pub async fn make(
    State(state): State<Shared>,
    _: Require<Admin>,
    JsonBody(body): JsonBody<KeyBody>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let KeyBody { name, role, requests_per_minute, tokens_per_minute } = body;
    if !state.store.has_keys() && role != Role::Admin {
        let message = "the first key must be an admin's: with it the server asks everybody for a key";
        return Err(ApiError::bad_request(message).with_param("role"));
    }
    let new = NewKey { name, role, requests_per_minute, tokens_per_minute };
    let (key, secret) = state.store.make_key(new).await?;
    let mut shown = json!(key);
    shown["key"] = secret.into();
    Ok((StatusCode::CREATED, Json(shown)))
}

/// `DELETE /v1/keys/{id}`: revokes a key.
pub async fn revoke(
    State(state): State<Shared>,
    _: Require<Admin>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    state.store.revoke_key(&id).await?;
    Ok(Json(json!({"deleted": 1})))
}
