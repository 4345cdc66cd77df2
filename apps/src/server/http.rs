//! The HTTP edge: everything between a socket and a route. It knows no model and no store.
//!
//! ```text
//! socket → listener → connection → Edge::wrap: request id → log and metrics → headers → CORS → local rules
//!                                              → time limit → route (Require<Role>, JsonBody, rate limits)
//! ```

pub mod auth;
pub mod body;
pub mod connection;
pub mod cors;
pub mod headers;
mod json_lines;
pub mod limits;
pub mod listener;
pub mod local;
pub mod log;
pub mod metrics;
pub mod shutdown;
pub mod timed_body;

#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;
use auth::Gate;
use cors::Origins;
use headers::Framing;
use metrics::Metrics;

/// What every route has in front of it.
#[derive(Clone)]
pub struct Edge {
    /// Who may call.
    pub gate: Gate,
    /// Pages of other origins that may call; none by default.
    pub origins: Origins,
    /// Pages that may show the widget in a frame.
    pub framing: Framing,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Longest time until the first byte of an answer. An answer that has begun, such as a stream, is not cut.
    pub time_limit: Duration,
}

impl Edge {
    /// Puts the edge in front of `routes`, which must have their paths already: a layer sees only the
    /// routes that were added before it.
    pub fn wrap(&self, routes: Router) -> Router {
        let allowed = (self.gate.clone(), self.origins.clone());
        // The last layer is the first that a request meets.
        let mut app = routes
            .layer(Extension(self.gate.clone()))
            .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
                ApiError::internal("the request failed").into_response()
            }))
            .layer(middleware::from_fn_with_state(self.time_limit, within))
            .layer(middleware::from_fn_with_state(allowed, local::refuse_foreign_pages));
        if !self.origins.is_empty() {
            app = app.layer(self.origins.layer()).layer(middleware::from_fn(cors::preflight));
        }
        app.layer(middleware::from_fn_with_state(self.framing.clone(), headers::secure))
            .layer(middleware::from_fn_with_state(self.metrics.clone(), log::requests))
            .layer(middleware::from_fn(headers::request_id))
    }
}

/// Answers with an error if there is no answer after `limit`.
async fn within(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out(limit).into_response(),
    }
}

/// The application while the model loads: alive, not ready, and 503 for the rest.
pub fn loading() -> Router {
    let wait = || ApiError::unavailable("the server is still loading").with_code("loading");
    Router::new()
        .route("/health/live", get(async || ([(header::CACHE_CONTROL, "no-store")], "ok")))
        .fallback(async move || wait().with_retry_after(Duration::from_secs(5)))
}
