//! The routes.

mod ask;
mod chat;
mod completions;
mod health;
mod models;
mod openai;
mod parameters;
mod predict;

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;

pub use parameters::random_seed;

use crate::error::ApiError;
use crate::state::Shared;

/// Longest body of a request, in bytes. A context of 128 Ki tokens is about half of it.
pub const BODY_LIMIT: usize = 1 << 20;

/// The application.
pub fn app(state: Shared) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/prod/predict", post(predict::predict))
        .route("/v1/models", get(models::models))
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/ask", post(ask::ask))
        .fallback(async |uri: Uri| ApiError::not_found(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            ApiError::method_not_allowed(method.as_str(), uri.path())
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(log))
        .with_state(state)
}

/// One line per request. For an event stream the time is that to its first byte.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let start = Instant::now();
    let response = next.run(request).await;
    let ms = start.elapsed().as_millis() as u64;
    tracing::info!("{method} {path} {} {ms} ms", response.status().as_u16());
    response
}

/// A JSON body with any content type, since `curl -d` sends that of a form.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await?;
        let axum::Json(value) = axum::Json::from_bytes(&bytes)?;
        Ok(Self(value))
    }
}

/// Runs long computations, such as tokenizing a long text, on a thread where they do not block other requests.
async fn blocking<T, F>(work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ApiError::internal(format!("the request failed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Server, server};

    #[tokio::test]
    async fn unknown_paths_and_methods_are_json_errors() {
        let (status, body) = server().get("/nowhere").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["message"], "there is nothing at /nowhere");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        let (status, body) = server().get("/prod/predict").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(body["error"]["message"], "/prod/predict does not take GET");
    }

    #[tokio::test]
    async fn bodies_that_are_not_what_the_route_takes_are_json_errors() {
        for (body, part) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("nonsense", "expected"),
            (r#"{"inputs": 3}"#, "inputs: invalid type: integer `3`, expected a string"),
            (r#"{"input": "x"}"#, "missing field `inputs`"),
            ("[]", "invalid length"),
        ] {
            let (status, answer) = server().post_text("/prod/predict", body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(part), "{body}: {message}");
        }
        let long = format!(r#"{{"inputs": "{}"}}"#, "x".repeat(1 << 20));
        let (status, answer) = server().post_text("/prod/predict", &long).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer["error"]["code"], "body_too_large");
    }

    #[tokio::test]
    async fn a_full_queue_is_503_with_retry_after() {
        let (server, gate) = Server::gated();
        let request = json!({"inputs": "hello\n"});
        // One request runs, held at the gate, and one waits in the queue.
        let first = server.submit("hello\n");
        gate.wait_until_running();
        let second = server.submit("hello\n");
        let response = server.send("/prod/predict", request.to_string()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        drop((first, second, gate));
    }
}
