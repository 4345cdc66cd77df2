//! An edge with routes that need nothing behind them.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get as on_get, post as on_post};
use serde_json::Value;
use tower::ServiceExt;

use super::Edge;
use super::auth::{Admin, Agent, Caller, Checked, Client, Keys, Require, Role};
use super::body::JsonBody;
use super::cors::Origins;
use super::headers::Framing;
use super::limits::RateLimits;
use super::metrics::Metrics;
use crate::error::ApiError;

/// Keys that say their role: `agent-key`.
pub struct KeyList(Vec<&'static str>);

impl KeyList {
    pub fn new(keys: &[&'static str]) -> Self {
        Self(keys.to_vec())
    }
}

impl Keys for KeyList {
    fn check<'a>(&'a self, key: &'a str) -> Checked<'a> {
        Box::pin(async move {
            let known = self.0.iter().find(|known| **known == key);
            Ok(known.map(|key| {
                let role = match key.split('-').next() {
                    Some("admin") => Role::Admin,
                    Some("agent") => Role::Agent,
                    _ => Role::Client,
                };
                Caller { id: key.to_string(), name: key.to_string(), role, ..Caller::local() }
            }))
        })
    }

    fn any(&self) -> bool {
        !self.0.is_empty()
    }
}

pub fn edge(keys: &[&'static str]) -> Edge {
    edge_at([127, 0, 0, 1].into(), keys)
}

pub fn edge_at(host: IpAddr, keys: &[&'static str]) -> Edge {
    Edge {
        gate: super::auth::Gate::new(Arc::new(KeyList::new(keys)), host, RateLimits::new(None)),
        origins: Origins::new(vec!["http://shop.example".parse().unwrap()]),
        framing: Framing::new(&["https://shop.example".parse().unwrap()]),
        metrics: Arc::new(Metrics::new("0", "none").unwrap()),
        time_limit: Duration::from_secs(60),
    }
}

pub fn routes() -> Router {
    Router::new()
        .route("/health", on_get(async || "ok"))
        .route("/client", on_get(async |caller: Require<Client>| caller.name.clone()))
        .route("/agent", on_get(async |caller: Require<Agent>| caller.name.clone()))
        .route("/admin", on_get(async |caller: Require<Admin>| caller.name.clone()))
        .route(
            "/echo",
            on_post(async |_: Require<Client>, JsonBody(value): JsonBody<Value>| value.to_string()),
        )
        .route("/widget", on_get(async || ([(header::CACHE_CONTROL, "max-age=60")], "widget")))
        .route("/never", on_get(std::future::pending::<&'static str>))
        .route("/panic", on_get(async || -> &'static str { panic!("/secret/path") }))
        .route(
            "/{name}/events",
            on_get(async |_: Require<Client>, Path(name): Path<String>| {
                let event = move |number| Ok::<_, Infallible>(format!("{name} {number}\n"));
                Body::from_stream(futures_util::stream::iter((0..3).map(event)))
            }),
        )
        .fallback(async || ApiError::not_found("here"))
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(Body::from(body.to_string())).unwrap()
}

pub async fn send(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

pub async fn get(app: &Router, path: &str, headers: &[(&str, &str)]) -> Response {
    send(app, request(Method::GET, path, headers, "")).await
}

pub async fn post(app: &Router, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    send(app, request(Method::POST, path, headers, body)).await
}

pub async fn status_and_body(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}
