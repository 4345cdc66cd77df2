//! What protects a server without keys: only programs and pages of this computer may use it.
//!
//! A web page of any site can make its visitor's browser send requests to 127.0.0.1. It cannot read the answers
//! unless it gives its own name that address (DNS rebinding), which shows in `Host`; and it cannot send a JSON
//! content type without asking first, so that other types from a page are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::{Gate, Keys};
use super::body::is_json;
use super::cors::Origins;
use crate::error::ApiError;

/// The address can be reached by others, and no key keeps them out.
#[derive(Debug, thiserror::Error)]
#[error(
    "without keys the server listens on this computer only, and --host is {host}: \
     make a key with `server keys add`, or use --host 127.0.0.1"
)]
pub struct NeedsKeys {
    host: IpAddr,
}

/// Checks that `host` may be listened on: without keys only loopback.
///
/// # Errors
/// If others could reach a server without keys.
pub fn check_host(host: IpAddr, keys: &dyn Keys) -> Result<(), NeedsKeys> {
    match host.to_canonical().is_loopback() || keys.any() {
        true => Ok(()),
        false => Err(NeedsKeys { host }),
    }
}

/// Refuses what pages of other sites may have sent, on a server without keys.
pub(super) async fn refuse_foreign_pages(
    State((gate, origins)): State<(Gate, Origins)>,
    request: Request,
    next: Next,
) -> Response {
    if gate.is_open()
        && let Err(error) = check(&request, &origins)
    {
        return error.into_response();
    }
    next.run(request).await
}

fn check(request: &Request, origins: &Origins) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = header_text(headers, header::HOST.as_str())?;
    for host in [host, request.uri().authority().map(Authority::as_str)].into_iter().flatten() {
        if !is_loopback(host) {
            let message = format!("without keys the server answers to localhost only, not to {host}");
            return Err(ApiError::forbidden(message).with_code("host"));
        }
    }
    let foreign = match header_text(headers, header::ORIGIN.as_str())? {
        Some(origin) if host.is_some_and(|host| is_same_origin(origin, host)) => false,
        Some(origin) if origins.contains(origin) => true,
        Some(origin) => {
            let message =
                format!("pages of {origin} may not call this server; allow them with --allow-origin");
            return Err(ApiError::forbidden(message).with_code("origin"));
        }
        // Browsers that leave the origin out still say that a request comes from another site.
        None => headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site"),
    };
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if foreign && !reads && !is_json(headers) {
        return Err(ApiError::unsupported_body(
            "a page of another origin must send content-type: application/json",
        ));
    }
    Ok(())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad_request(format!("more than one {name} header")));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| ApiError::bad_request(format!("the {name} header is not plain text")))
}

/// Whether a host, with or without its port, is this computer by name or address.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || address.parse::<Ipv6Addr>().is_ok_and(|address| IpAddr::V6(address).to_canonical().is_loopback())
}

/// Whether an origin is that of the page that the server itself gave out under `host`.
fn is_same_origin(origin: &str, host: &str) -> bool {
    origin.strip_prefix("http://").is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KeyList, edge, get, post, routes};
    use super::{check_host, is_loopback};

    #[test]
    fn without_keys_only_loopback_may_be_listened_on() {
        for host in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(check_host(host.parse().unwrap(), &KeyList::new(&[])).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.4"] {
            let error = check_host(host.parse().unwrap(), &KeyList::new(&[])).unwrap_err().to_string();
            assert!(error.contains("server keys add") && error.contains(host), "{error}");
            assert!(check_host(host.parse().unwrap(), &KeyList::new(&["agent-key"])).is_ok(), "{host}");
        }
    }

    #[test]
    fn names_that_only_look_like_this_computer_are_others() {
        for host in
            ["localhost", "LocalHost:8080", "app.localhost:1", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "0.0.0.0",
            "::1",
            "localhost@evil.example",
            "127.0.0.1@evil.example:80",
            "10.0.0.1",
            "",
            "[::]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_page_whose_name_was_rebound_to_this_computer_is_refused() {
        let app = edge(&[]).wrap(routes());
        assert_eq!(get(&app, "/client", &[("host", "evil.example:8080")]).await.status(), 403);
        assert_eq!(get(&app, "http://evil.example/client", &[("host", "localhost")]).await.status(), 403);
        assert_eq!(get(&app, "/client", &[("host", "localhost:8080")]).await.status(), 200);
        // With keys the key protects, under whatever name the server is reached.
        let keyed = edge(&["agent-key"]).wrap(routes());
        let headers = [("host", "help.shop.example"), ("x-api-key", "agent-key")];
        assert_eq!(get(&keyed, "/client", &headers).await.status(), 200);
    }

    #[tokio::test]
    async fn pages_of_other_origins_cannot_post_without_asking_first() {
        let app = edge(&[]).wrap(routes());
        let json = ("content-type", "application/json");
        let host = ("host", "127.0.0.1:8080");
        for (headers, status) in [
            (vec![host, json], 200),
            (vec![host, json, ("origin", "http://127.0.0.1:8080")], 200),
            (vec![host, json, ("origin", "http://evil.example")], 403),
            (vec![host, json, ("origin", "null")], 403),
            (vec![host, json, ("origin", "http://127.0.0.1:9000")], 403),
            (vec![host, json, ("origin", "http://shop.example")], 200), // on the list
            (vec![host, ("content-type", "text/plain"), ("origin", "http://shop.example")], 415),
            (vec![host, ("content-type", "text/plain"), ("origin", "http://evil.example")], 403),
            (vec![host, ("content-type", "text/plain")], 415),
            (vec![host, ("sec-fetch-site", "cross-site")], 415),
            (vec![host, ("content-type", "application/x-www-form-urlencoded")], 200), // curl -d
            (vec![host, ("content-type", "multipart/form-data; boundary=x")], 415),
        ] {
            let response = post(&app, "/echo", &headers, "{}").await;
            assert_eq!(response.status(), status, "{headers:?}");
        }
    }
}
