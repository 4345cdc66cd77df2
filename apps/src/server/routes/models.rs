//! `GET /v1/models` and `GET /v1/models/{id}`: OpenAI's list of models.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::auth::{Client, Require};
use crate::state::{AppState, Shared};

/// Lists the model that runs, its adapters and the embedder.
pub async fn models(State(state): State<Shared>, _: Require<Client>) -> Json<Value> {
    Json(json!({"object": "list", "data": listed(&state)}))
}

/// One of them. Names may have slashes.
pub async fn model(
    State(state): State<Shared>,
    _: Require<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let mut listed = listed(&state);
    match listed.iter().position(|model| model["id"] == id) {
        Some(index) => Ok(Json(listed.swap_remove(index))),
        None => {
            let names: Vec<&str> = listed.iter().filter_map(|model| model["id"].as_str()).collect();
            Err(ApiError::model_not_found(&id, &names))
        }
    }
}

fn listed(state: &AppState) -> Vec<Value> {
    let shown = |name: &str, context_length: usize| {
        json!({
            "id": name,
            "object": "model",
            "created": state.started,
            "owned_by": "hearth",
            "context_length": context_length,
        })
    };
    let mut listed = vec![shown(&state.model, state.scheduler.context_length())];
    for adapter in &state.adapters {
        let mut model = shown(&adapter.name, state.scheduler.context_length());
        model["root"] = state.model.as_str().into();
        listed.push(model);
    }
    listed.extend(state.embeddings.as_ref().map(|embedder| shown(&embedder.model, embedder.max_tokens)));
    listed
}

#[cfg(test)]
mod tests {
    use crate::testing::{Server, server};

    #[tokio::test]
    async fn the_model_is_listed() {
        let (status, body) = server().get("/v1/models").await;
        assert_eq!(status, 200);
        assert_eq!(body["data"][0]["id"], "echo");
        assert_eq!(body["data"][0]["context_length"], 1024);
    }

    #[tokio::test]
    async fn each_model_is_found_by_its_name() {
        let server = Server::with_extras();
        let (_, list) = server.get("/v1/models").await;
        for (index, name) in ["echo", "owner/shouting", "ruler"].into_iter().enumerate() {
            let (status, model) = server.get(&format!("/v1/models/{name}")).await;
            assert_eq!((status.as_u16(), &model), (200, &list["data"][index]));
            assert_eq!(model["id"], name);
        }
        let (status, body) = server.get("/v1/models/owner/other").await;
        assert_eq!((status.as_u16(), &body["error"]["code"]), (404, &"model_not_found".into()));
        assert_eq!(body["error"]["param"], "model");
        assert_eq!(
            body["error"]["message"],
            "the model `owner/other` does not exist; this server has `echo`, `owner/shouting`, `ruler`"
        );
    }
}
