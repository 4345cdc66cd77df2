//! `GET /v1/models`: OpenAI's list of models, with the one that runs.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::state::Shared;

/// Lists the model.
pub async fn models(State(state): State<Shared>) -> Json<Value> {
    Json(json!({
        "object": "list",
        "data": [{
            "id": state.model,
            "object": "model",
            "created": state.started,
            "owned_by": "hearth",
            "context_length": state.scheduler.context_length(),
        }],
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::server;

    #[tokio::test]
    async fn the_model_is_listed() {
        let (status, body) = server().get("/v1/models").await;
        assert_eq!(status, 200);
        assert_eq!(body["data"][0]["id"], "echo");
        assert_eq!(body["data"][0]["context_length"], 1024);
    }
}
