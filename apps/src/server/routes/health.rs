//! `GET /health`: whether the server can answer.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::shutdown::Stage;
use crate::state::Shared;

/// Says that the process answers, whatever the model does.
pub async fn live() -> &'static str {
    "ok"
}

/// As [`health`], and that new requests are taken.
pub async fn ready(state: State<Shared>) -> Result<Json<Value>, ApiError> {
    if state.shutdown.stage() != Stage::Running {
        return Err(ApiError::unavailable("the server is stopping"));
    }
    health(state).await
}

/// Says that the model runs, and what it has done so far.
pub async fn health(State(state): State<Shared>) -> Result<Json<Value>, ApiError> {
    if !state.scheduler.is_running() {
        return Err(ApiError::unavailable("the model has stopped; start the server again"));
    }
    let stats = state.scheduler.stats();
    Ok(Json(json!({
        "status": "ok",
        "model": state.model,
        "instruction_set": engine::instruction_set(),
        "steps": stats.steps,
        "prompt_tokens": stats.prompt_tokens,
        "reused_prompt_tokens": stats.reused_tokens,
        "guessed_tokens": stats.guessed_tokens,
        "right_guesses": stats.right_guesses,
    })))
}

#[cfg(test)]
mod tests {
    use crate::testing::server;

    #[tokio::test]
    async fn health_names_the_model_and_the_instruction_set() {
        let (status, body) = server().get("/health").await;
        assert_eq!(status, 200);
        assert_eq!(
            (&body["status"], &body["model"], &body["steps"]),
            (&"ok".into(), &"echo".into(), &0.into())
        );
        let instruction_set = body["instruction_set"].as_str().unwrap();
        assert!(["avx512vnni", "avx2", "neon", "scalar"].contains(&instruction_set), "{instruction_set}");
    }
}
