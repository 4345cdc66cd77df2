//! Pages of other origins that may call the API (CORS).

use std::str::FromStr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::headers::REQUEST_ID;
use crate::error::ApiError;

/// How long a browser may remember what it may send.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An origin: scheme, host and port, as browsers write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// The text is no origin.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no origin such as https://shop.example or http://localhost:3000")]
pub struct OriginError {
    text: String,
}

impl Origin {
    /// The text that browsers send.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError { text: text.to_string() };
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let bare = uri.path() == "/" && uri.query().is_none() && !text.contains(['@', '*', '#', ';', ',']);
        if !bare || authority.host().is_empty() {
            return Err(wrong());
        }
        // Browsers leave out the port that the scheme implies.
        let implied = if scheme == "http" { 80 } else { 443 };
        let host = authority.host().to_ascii_lowercase();
        Ok(Self(match authority.port_u16() {
            Some(port) if port != implied => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }))
    }
}

/// The origins that may call (`--allow-origin`).
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// These and no others.
    pub fn new(origins: Vec<Origin>) -> Self {
        Self(origins)
    }

    /// Whether only the server's own pages may call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether pages of this origin may call.
    pub fn contains(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed.0 == origin)
    }

    /// Adds the headers that let those pages read answers.
    pub(super) fn layer(&self) -> CorsLayer {
        let origins = self.0.iter().filter_map(|origin| HeaderValue::from_str(&origin.0).ok());
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("x-api-key"),
                HeaderName::from_static("last-event-id"),
                REQUEST_ID,
            ])
            .expose_headers([REQUEST_ID, header::RETRY_AFTER])
            .max_age(REMEMBERED)
    }
}

/// Makes the answer to a preflight clear to people who look at it: 204 where allowed, an error where not.
pub(super) async fn preflight(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    if asks && response.status() == StatusCode::OK {
        if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return ApiError::forbidden("pages of this origin may not call the server; see --allow-origin")
                .with_code("origin")
                .into_response();
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::super::testing::{edge, get, request, routes, send};
    use super::{Origin, Origins};

    const PREFLIGHT: [(&str, &str); 3] = [
        ("host", "localhost:8080"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,authorization"),
    ];

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (text, origin) in [
            ("https://Shop.example/", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), origin);
        }
        for text in
            ["shop.example", "*", "null", "https://shop.example/help", "ftp://shop.example", "https://", ""]
        {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("no origin"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_preflight_says_what_an_allowed_page_may_send() {
        let app = edge(&[]).wrap(routes());
        let headers = [PREFLIGHT.as_slice(), &[("origin", "http://shop.example")]].concat();
        let response = send(&app, request(Method::OPTIONS, "/echo", &headers, "")).await;
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["access-control-allow-origin"], "http://shop.example");
        let methods = response.headers()["access-control-allow-methods"].to_str().unwrap();
        assert!(methods.contains("POST"), "{methods}");
        let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
        let read =
            get(&app, "/client", &[("host", "localhost:8080"), ("origin", "http://shop.example")]).await;
        assert_eq!(read.headers()["access-control-allow-origin"], "http://shop.example");
        assert!(read.headers()["vary"].to_str().unwrap().contains("origin"));
    }

    #[tokio::test]
    async fn a_preflight_of_another_page_is_refused() {
        for keys in [vec![], vec!["agent-key"]] {
            let app = edge(&keys).wrap(routes());
            let headers = [PREFLIGHT.as_slice(), &[("origin", "http://evil.example")]].concat();
            let response = send(&app, request(Method::OPTIONS, "/echo", &headers, "")).await;
            assert_eq!(response.status(), 403, "{keys:?}");
            assert!(!response.headers().contains_key("access-control-allow-origin"));
        }
    }

    #[tokio::test]
    async fn without_a_list_no_page_gets_cors_headers() {
        let mut edge = edge(&["agent-key"]);
        edge.origins = Origins::default();
        let app = edge.wrap(routes());
        let headers = [("origin", "http://shop.example"), ("x-api-key", "agent-key")];
        let response = get(&app, "/client", &headers).await;
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}
