//! Request ids and headers that keep browsers from doing what no page of ours needs.

use crate::id::new_id;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::cors::Origin;

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over from a client.
const LONGEST_ID: usize = 128;

/// What a page of ours may load: its own files only, so that injected markup can do nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; manifest-src 'self'; \
    worker-src 'self'; frame-ancestors ";

/// A request's id, as an extension of the request.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default() // built from plain text only
    }
}

/// Gives a request the id that its client sent, or a new one, and returns it.
pub(super) async fn request_id(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(REQUEST_ID).filter(|id| is_sane(id.as_bytes())).cloned();
    let id = sent.unwrap_or_else(|| {
        let new = new_id();
        HeaderValue::from_str(&new).unwrap_or(HeaderValue::from_static("none"))
    });
    let id = RequestId(id);
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", id = id.as_str());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

/// Whether an id can stand in a log line as it is.
fn is_sane(id: &[u8]) -> bool {
    !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// Which pages may show the widget in a frame. No other page of ours can be framed.
#[derive(Clone, Debug)]
pub struct Framing {
    widget: HeaderValue,
    rest: HeaderValue,
}

impl Framing {
    /// The widget may be shown by the server's own pages and those of `origins`.
    pub fn new(origins: &[Origin]) -> Self {
        let mut widget = format!("{POLICY}'self'");
        for origin in origins {
            widget.push(' ');
            widget.push_str(origin.as_str());
        }
        let rest = HeaderValue::from_str(&format!("{POLICY}'none'"))
            .unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { widget: HeaderValue::from_str(&widget).unwrap_or(rest.clone()), rest }
    }
}

/// Adds the security headers; and keeps answers out of caches unless the route says otherwise.
pub(super) async fn secure(State(framing): State<Framing>, request: Request, next: Next) -> Response {
    let is_widget = request.uri().path() == "/widget";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = if is_widget { framing.widget } else { framing.rest };
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"), // `no-referrer` would make the origin of our own forms `null`
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edge, get, routes};

    #[tokio::test]
    async fn a_sane_request_id_is_returned_and_another_is_replaced() {
        let app = edge(&[]).wrap(routes());
        let response = get(&app, "/client", &[("x-request-id", "shop-7:a_b.c")]).await;
        assert_eq!(response.headers()["x-request-id"], "shop-7:a_b.c");
        for id in ["", "two words", "new\u{e9}", &"x".repeat(129), "a\"b"] {
            let response = get(&app, "/client", &[("x-request-id", id)]).await;
            assert_eq!(response.headers()["x-request-id"].len(), 36, "{id}");
        }
        let [first, second] = [get(&app, "/client", &[]).await, get(&app, "/client", &[]).await];
        assert_ne!(first.headers()["x-request-id"], second.headers()["x-request-id"]);
    }

    #[tokio::test]
    async fn only_the_widget_can_be_framed_and_errors_have_the_headers_too() {
        let app = edge(&[]).wrap(routes());
        for (path, ancestors) in [
            ("/client", "frame-ancestors 'none'"),
            ("/nowhere", "frame-ancestors 'none'"),
            ("/widget", "frame-ancestors 'self' https://shop.example"),
        ] {
            let response = get(&app, path, &[]).await;
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'") && policy.ends_with(ancestors),
                "{path}: {policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn answers_are_not_cached_unless_the_route_says_so() {
        let app = edge(&[]).wrap(routes());
        assert_eq!(get(&app, "/client", &[]).await.headers()["cache-control"], "no-store");
        assert_eq!(get(&app, "/widget", &[]).await.headers()["cache-control"], "max-age=60");
    }
}
