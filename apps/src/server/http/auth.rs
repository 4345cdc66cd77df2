//! Who calls, and what they may do.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use super::limits::RateLimits;
use super::log::Record;
use crate::error::ApiError;

/// Longest key that is looked up.
const LONGEST_KEY: usize = 256;

/// What a caller may do; a later role may all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks questions.
    Client,
    /// Reads conversations, answers customers and edits the knowledge.
    Agent,
    /// Makes keys, exports and deletes.
    Admin,
}

impl Role {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }
}

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's id, which is no secret.
    pub id: String,
    /// The key's name.
    pub name: String,
    /// What the caller may do.
    pub role: Role,
    /// Requests of a minute, if they are limited.
    pub requests_per_minute: Option<u32>,
    /// Tokens of a minute, if they are limited.
    pub tokens_per_minute: Option<u32>,
}

impl Caller {
    /// Everybody, on a server without keys.
    pub fn local() -> Self {
        Self {
            id: "local".into(),
            name: "local".into(),
            role: Role::Admin,
            requests_per_minute: None,
            tokens_per_minute: None,
        }
    }

    /// Whether the caller has at least this role.
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

/// What [`Keys::check`] gives: the key's owner, or nobody if there is no such key or it is revoked.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<Option<Caller>, ApiError>> + Send + 'a>>;

/// The keys that were made.
pub trait Keys: Send + Sync {
    /// Who owns `key`. Fails if the keys cannot be read.
    fn check<'a>(&'a self, key: &'a str) -> Checked<'a>;

    /// Whether any key was made that is not revoked. Asked for every request.
    fn any(&self) -> bool;
}

/// Decides who may call.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    keys: Arc<dyn Keys>,
    loopback: bool,
    limits: RateLimits,
}

impl Gate {
    /// The gate of a server that listens on `address`.
    pub fn new(keys: Arc<dyn Keys>, address: IpAddr, limits: RateLimits) -> Self {
        Self(Arc::new(Inner { keys, loopback: address.to_canonical().is_loopback(), limits }))
    }

    /// Whether everybody who reaches the server is an admin: it listens on loopback and no key was made.
    /// When the last key of a server that others can reach is revoked, nobody is let in.
    pub fn is_open(&self) -> bool {
        self.0.loopback && !self.0.keys.any()
    }

    /// Limits of callers, for tokens that are known only after the answer.
    pub fn limits(&self) -> &RateLimits {
        &self.0.limits
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.is_open() {
            return Ok(Caller::local()); // whatever key a client library was made to send
        }
        let Some(key) = key(headers)? else {
            return Err(match self.0.keys.any() {
                true => {
                    ApiError::unauthorized("a key is needed: Authorization: Bearer KEY, or x-api-key: KEY")
                }
                false => {
                    ApiError::unauthorized("this server has no keys yet: make one with `server keys add`")
                }
            });
        };
        let caller = self.0.keys.check(key).await?;
        caller.ok_or_else(|| ApiError::unauthorized("the key is not valid, or was revoked"))
    }
}

/// The key that a request carries.
fn key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut found = None;
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| (value, true));
    let plain = headers.get_all("x-api-key").iter().map(|value| (value, false));
    for (value, is_bearer) in bearer.chain(plain) {
        let text = value.to_str().map_err(|_| ApiError::unauthorized("the key is not plain text"))?;
        let key = match text.split_once(' ') {
            Some((scheme, key)) if is_bearer && scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ if is_bearer => {
                return Err(ApiError::unauthorized("Authorization must be `Bearer KEY`"));
            }
            _ => text.trim(),
        };
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(ApiError::unauthorized("the key is empty or far too long"));
        }
        if found.is_some_and(|found| found != key) {
            return Err(ApiError::unauthorized("the request carries two different keys"));
        }
        found = Some(key);
    }
    Ok(found)
}

/// Roles as types, for [`Require`].
pub trait Level {
    /// The role.
    const ROLE: Role;
}

/// Any valid key.
pub struct Client;
/// A key of an agent or an admin.
pub struct Agent;
/// A key of an admin.
pub struct Admin;

impl Level for Client {
    const ROLE: Role = Role::Client;
}
impl Level for Agent {
    const ROLE: Role = Role::Agent;
}
impl Level for Admin {
    const ROLE: Role = Role::Admin;
}

/// The caller of a route that needs a role: 401 without a valid key, 403 below the role, 429 above its limits.
pub struct Require<L: Level>(Caller, PhantomData<L>);

impl<L: Level> Deref for Require<L> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<L: Level, S: Send + Sync> FromRequestParts<S> for Require<L> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let gate = parts.extensions.get::<Gate>().cloned();
        // Refused rather than let in, should an application be put together without its edge.
        let gate = gate.ok_or_else(|| ApiError::internal("this route has no gate before it"))?;
        let peer = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|peer| peer.0.ip());
        let caller = gate.identify(&parts.headers).await?;
        if let Some(record) = parts.extensions.get::<Record>() {
            record.set_caller(&caller.name);
        }
        if !caller.may(L::ROLE) {
            let (has, needs) = (caller.role.name(), L::ROLE.name());
            let message = format!("this needs a key of the role {needs}; the key is of the role {has}");
            return Err(ApiError::forbidden(message).with_code("role"));
        }
        gate.limits().admit(&caller, peer)?;
        Ok(Self(caller, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::testing::{edge, get, post, routes, status_and_body};

    #[tokio::test]
    async fn a_key_is_taken_from_either_header_and_both_must_agree() {
        let app = edge(&["agent-key"]).wrap(routes());
        for (headers, status) in [
            (vec![], 401),
            (vec![("authorization", "Bearer agent-key")], 200),
            (vec![("authorization", "bearer  agent-key")], 200),
            (vec![("x-api-key", "agent-key")], 200),
            (vec![("authorization", "Bearer agent-key"), ("x-api-key", "agent-key")], 200),
            (vec![("authorization", "Bearer agent-key"), ("x-api-key", "other")], 401),
            (vec![("authorization", "Bearer agent-key"), ("authorization", "Bearer other")], 401),
            (vec![("authorization", "Bearer agent-kez")], 401),
            (vec![("authorization", "Bearer ")], 401),
            (vec![("authorization", "Basic agent-key")], 401),
            (vec![("x-api-key", "")], 401),
        ] {
            let response = get(&app, "/agent", &headers).await;
            assert_eq!(response.status(), status, "{headers:?}");
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn a_role_may_what_lower_roles_may() {
        let app = edge(&["client-key", "agent-key", "admin-key"]).wrap(routes());
        for (key, allowed) in
            [("client-key", [200, 403, 403]), ("agent-key", [200, 200, 403]), ("admin-key", [200, 200, 200])]
        {
            for (path, status) in ["/client", "/agent", "/admin"].into_iter().zip(allowed) {
                assert_eq!(get(&app, path, &[("x-api-key", key)]).await.status(), status, "{key} {path}");
            }
        }
        let response = get(&app, "/admin", &[("x-api-key", "client-key")]).await;
        let (_, body) = status_and_body(response).await;
        assert_eq!(body["error"]["type"], "permission_error");
        assert!(body["error"]["message"].as_str().unwrap().contains("admin"), "{body}");
    }

    #[tokio::test]
    async fn without_keys_everybody_on_loopback_is_an_admin_and_nobody_elsewhere() {
        let app = edge(&[]).wrap(routes());
        assert_eq!(get(&app, "/admin", &[]).await.status(), StatusCode::OK);
        // What client libraries are made to send.
        assert_eq!(get(&app, "/admin", &[("authorization", "Bearer none")]).await.status(), StatusCode::OK);
        let public = super::super::testing::edge_at([0, 0, 0, 0].into(), &[]).wrap(routes());
        let response = get(&public, "/client", &[("authorization", "Bearer none")]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let (_, body) = status_and_body(get(&public, "/client", &[]).await).await;
        assert!(body["error"]["message"].as_str().unwrap().contains("server keys add"), "{body}");
        assert_eq!(post(&public, "/echo", &[], "{}").await.status(), StatusCode::UNAUTHORIZED);
    }
}
