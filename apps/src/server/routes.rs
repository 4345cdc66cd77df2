//! The routes.

mod ask;
mod chat;
mod completions;
mod desk;
mod documents;
mod embeddings;
mod health;
mod keys;
mod metrics;
mod models;
mod predict;
mod query;
mod sessions;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::routing::{delete, get, post};

use crate::error::ApiError;
use crate::page;
use crate::state::Shared;

/// Longest body of a request, in bytes. A context of 128 Ki tokens is about half of it.
pub const BODY_LIMIT: usize = 1 << 20;

/// The application, without the edge in front of it.
pub fn app(state: Shared) -> Router {
    Router::new()
        .merge(models_api())
        .merge(support_api())
        .merge(pages())
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/metrics/gateway", get(metrics::gateway))
        .fallback(async |uri: Uri| ApiError::not_found(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            ApiError::method_not_allowed(method.as_str(), uri.path())
        })
        .layer(DefaultBodyLimit::disable()) // bodies are limited where they are read
        .with_state(state)
}

/// The model as other servers offer it.
fn models_api() -> Router<Shared> {
    Router::new()
        .route("/prod/predict", post(predict::predict))
        .route("/v1/models", get(models::models))
        .route("/v1/models/{*id}", get(models::model))
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
}

/// Questions, conversations, knowledge, and what a team lead looks at.
fn support_api() -> Router<Shared> {
    Router::new()
        .route("/v1/ask", post(ask::ask))
        .route("/v1/turns", get(desk::turns))
        .route("/v1/turns/{id}/events", get(ask::events))
        .route("/v1/turns/{id}/feedback", post(sessions::feedback))
        .route("/v1/sessions", get(sessions::sessions))
        .route("/v1/sessions/export", get(sessions::export))
        .route("/v1/sessions/{id}", get(sessions::session).delete(sessions::delete))
        .route("/v1/sessions/{id}/events", get(sessions::events))
        .route("/v1/sessions/{id}/messages", post(sessions::message))
        .route("/v1/sessions/{id}/status", post(sessions::set_status))
        .route("/v1/customers/{customer}", get(sessions::customer).delete(sessions::delete_customer))
        .route("/v1/documents", get(documents::list).post(documents::add))
        .route("/v1/documents/files", post(documents::upload))
        .route("/v1/documents/{*id}", get(documents::get).put(documents::put).delete(documents::delete))
        .route("/v1/search", post(documents::search))
        .route("/v1/dashboard", get(desk::dashboard))
        .route("/v1/dashboard.csv", get(desk::dashboard_csv))
        .route("/v1/status", get(desk::status))
        .route("/v1/keys", get(keys::list).post(keys::make))
        .route("/v1/keys/{id}", delete(keys::revoke))
}

/// What people see.
fn pages() -> Router<Shared> {
    let views = ["/", "/playground", "/knowledge", "/inbox", "/dashboard", "/settings"];
    let shells = views.into_iter().fold(Router::new(), |router, view| router.route(view, get(page::shell)));
    shells
        .route("/widget", get(page::widget_frame))
        .route("/widget.js", get(page::widget_script))
        .route("/assets/{*path}", get(page::asset))
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

    use crate::store::{NewKey, Role};
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
            ("[]", "expected a JSON object"),
            (r#"{"inputs": "x", "inputs": "y"}"#, "duplicate field `inputs`"),
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
    async fn a_full_queue_is_429_with_retry_after() {
        let (server, gate) = Server::gated();
        let request = json!({"inputs": "hello\n"});
        // One request runs, held at the gate, and one waits in the queue.
        let first = server.submit("hello\n");
        gate.wait_until_running();
        let second = server.submit("hello\n");
        let response = server.send("/prod/predict", request.to_string()).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "1");
        drop((first, second, gate));
    }

    #[tokio::test]
    async fn every_route_but_health_and_the_page_needs_a_key_and_counts_once() {
        let server = server();
        let new = |role, requests_per_minute| NewKey {
            name: "k".into(),
            role,
            requests_per_minute,
            tokens_per_minute: None,
        };
        let (_, client) = server.state().store.make_key(new(Role::Client, Some(2))).await.unwrap();
        for path in [
            "/v1/models",
            "/v1/models/echo",
            "/v1/sessions",
            "/v1/sessions/x",
            "/v1/sessions/x/events",
            "/v1/turns",
            "/v1/sessions/export",
            "/v1/turns/x/events",
            "/v1/customers/x",
            "/v1/documents",
            "/v1/documents/x",
            "/v1/dashboard",
            "/v1/dashboard.csv",
            "/v1/status",
            "/v1/keys",
            "/metrics",
            "/metrics/gateway",
        ] {
            assert_eq!(server.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
        }
        for path in [
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/prod/predict",
            "/v1/ask",
            "/v1/search",
            "/v1/documents",
            "/v1/documents/files?name=a.md",
            "/v1/sessions/x/messages",
            "/v1/sessions/x/status",
            "/v1/turns/x/feedback",
            "/v1/keys",
        ] {
            assert_eq!(server.post(path, json!({})).await.0, StatusCode::UNAUTHORIZED, "{path}");
        }
        for path in ["/health", "/health/live", "/health/ready", "/", "/inbox", "/widget.js"] {
            assert_eq!(server.request("GET", path, &[]).await.status(), StatusCode::OK, "{path}");
        }
        let key = format!("Bearer {client}");
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(
                server.request("GET", "/v1/models", &[("authorization", &key)]).await.status().as_u16(),
            );
        }
        assert_eq!(statuses, [200, 200, 429]);
        assert_eq!(server.request("GET", "/v1/keys", &[("authorization", &key)]).await.status(), 403);
    }
}
