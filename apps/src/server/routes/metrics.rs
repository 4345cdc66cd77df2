//! `GET /metrics`, for Prometheus.

use axum::extract::State;
use axum::response::Response;

use crate::error::ApiError;
use crate::http::auth::{Agent, Require};
use crate::http::metrics::EngineState;
use crate::state::Shared;

/// What was counted, in Prometheus' text format.
pub async fn metrics(State(state): State<Shared>, _: Require<Agent>) -> Result<Response, ApiError> {
    state.metrics.answer(&engine(&state))
}

/// The same in the names that Kubernetes' inference gateway asks for.
pub async fn gateway(State(state): State<Shared>, _: Require<Agent>) -> Result<Response, ApiError> {
    state.metrics.gateway_answer(&engine(&state))
}

fn engine(state: &Shared) -> EngineState {
    let stats = state.scheduler.stats();
    EngineState {
        waiting: stats.waiting,
        running: stats.running,
        cache_blocks_used: stats.blocks.saturating_sub(stats.free_blocks),
        cache_blocks: stats.blocks,
        block_len: stats.block_len,
        prompt_tokens: stats.prompt_tokens,
        reused_tokens: stats.reused_tokens,
        steps: stats.steps,
        adapters: state.adapters.iter().map(|adapter| adapter.name.clone()).collect(),
        most_adapters: 1,
    }
}
