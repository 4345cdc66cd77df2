//! The store's keys as the edge asks for them.

use std::sync::Arc;

use crate::http::auth::{Caller, Checked, Keys, Role};
use crate::store::{self, Store};

/// The keys of a store.
pub struct KeyRing(Store);

impl KeyRing {
    /// The keys of `store`.
    pub fn new(store: Store) -> Arc<Self> {
        Arc::new(Self(store))
    }
}

impl Keys for KeyRing {
    fn check<'a>(&'a self, key: &'a str) -> Checked<'a> {
        let caller = self.0.check_key(key).map(|key| Caller {
            id: key.id,
            name: key.name,
            role: role(key.role),
            requests_per_minute: key.requests_per_minute,
            tokens_per_minute: key.tokens_per_minute,
        });
        Box::pin(std::future::ready(Ok(caller)))
    }

    fn any(&self) -> bool {
        self.0.has_keys()
    }
}

fn role(role: store::Role) -> Role {
    match role {
        store::Role::Client => Role::Client,
        store::Role::Agent => Role::Agent,
        store::Role::Admin => Role::Admin,
    }
}
