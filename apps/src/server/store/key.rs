//! Keys: made, shown once, stored as hashes, revoked.
//!
//! A key is 256 random bits, so one round of SHA-256 keeps it: there is nothing to guess. All keys are held in
//! memory, and each check compares with every one of them in constant time.

use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Store;
use super::error::StoreError;
use super::page::text_enum;
use super::timestamp::Timestamp;
use crate::id::new_id;

/// What keys begin with, so that leaked ones are found by scanners.
const PREFIX: &str = "hearth_";

/// A use is recorded at most so often for each key.
const USE_RECORDED_MS: i64 = 60_000;

/// What a key allows; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To ask.
    Client,
    /// To see and answer conversations and to change the knowledge.
    Agent,
    /// To do everything.
    Admin,
}

text_enum!(Role, "role", { Client => "client", Agent => "agent", Admin => "admin" });

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Requests in a minute; without limit if `None`.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute; without limit if `None`.
    pub tokens_per_minute: Option<u32>,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its identifier.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to a minute.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute.
    pub tokens_per_minute: Option<u32>,
}

impl Key {
    fn read(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            role: row.get("role")?,
            created: row.get("created")?,
            last_used: row.get("last_used")?,
            revoked: row.get("revoked")?,
            requests_per_minute: row.get("requests_per_minute")?,
            tokens_per_minute: row.get("tokens_per_minute")?,
        })
    }
}

/// The keys in memory. The writer changes them after each commit, so that none is valid that is revoked on disk.
pub(super) struct KeyRing {
    keys: RwLock<Vec<(Key, [u8; 32])>>,
}

impl KeyRing {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare("SELECT * FROM keys ORDER BY id")?;
        let read = |row: &Row| Ok((Key::read(row)?, row.get::<_, [u8; 32]>("hash")?));
        let keys = statement.query_map((), read)?.collect::<Result<_, _>>()?;
        Ok(Self { keys: RwLock::new(keys) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<(Key, [u8; 32])>) -> T) -> T {
        change(&mut self.keys.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, look: impl FnOnce(&[(Key, [u8; 32])]) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The valid key with this hash. Every key is compared to its end, whichever matches.
    fn find(&self, hash: &[u8; 32]) -> Option<Key> {
        self.look(|keys| {
            let mut found = None;
            for (key, stored) in keys {
                let is_valid = Choice::from(u8::from(key.revoked.is_none()));
                if bool::from(stored.ct_eq(hash) & is_valid) {
                    found = Some(key.clone());
                }
            }
            found
        })
    }
}

impl Store {
    /// Makes a key. The secret is returned here and never again.
    ///
    /// # Errors
    /// If it has no name, the system has no random numbers, or the disk fails.
    pub async fn make_key(&self, new: NewKey) -> Result<(Key, String), StoreError> {
        if new.name.trim().is_empty() {
            return Err(StoreError::invalid("name", new.name, "says nothing"));
        }
        let secret = secret()?;
        let hash = hash(&secret);
        let key = Key {
            id: new_id(),
            name: new.name,
            role: new.role,
            created: Timestamp::now(),
            last_used: None,
            revoked: None,
            requests_per_minute: new.requests_per_minute,
            tokens_per_minute: new.tokens_per_minute,
        };
        let ring = self.inner.keys.clone();
        let write = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO keys (id, name, role, hash, created, requests_per_minute, tokens_per_minute)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    &key.id,
                    &key.name,
                    key.role,
                    hash,
                    key.created,
                    key.requests_per_minute,
                    key.tokens_per_minute,
                ),
            )?;
            Ok(key)
        };
        let committed = move |key: &Key| ring.change(|keys| keys.push((key.clone(), hash)));
        let key = self.inner.writer.write(write, committed).await?;
        Ok((key, secret))
    }

    /// Revokes a key at once. A second time changes nothing.
    ///
    /// # Errors
    /// If there is none of this identifier, or the disk fails.
    pub async fn revoke_key(&self, id: &str) -> Result<(), StoreError> {
        let (id, now) = (id.to_string(), Timestamp::now());
        let ring = self.inner.keys.clone();
        let write = move |connection: &Connection| {
            let sql = "UPDATE keys SET revoked = coalesce(revoked, ?2) WHERE id = ?1";
            match connection.execute(sql, (&id, now))? {
                0 => Err(StoreError::not_found("key", &id)),
                _ => Ok(id),
            }
        };
        let committed = move |id: &String| {
            ring.change(|keys| {
                for (key, _) in keys.iter_mut().filter(|(key, _)| key.id == *id) {
                    key.revoked.get_or_insert(now);
                }
            });
        };
        self.inner.writer.write(write, committed).await.map(drop)
    }

    /// The valid key with this secret.
    pub fn check_key(&self, secret: &str) -> Option<Key> {
        let key = self.inner.keys.find(&hash(secret))?;
        let now = Timestamp::now();
        if key.last_used.is_none_or(|last| now.millis() - last.millis() >= USE_RECORDED_MS) {
            self.record_use(key.id.clone(), now);
        }
        Some(key)
    }

    /// Whether a key was ever made. A server whose keys are all revoked lets nobody in, not everybody.
    pub fn has_keys(&self) -> bool {
        self.inner.keys.look(|keys| !keys.is_empty())
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> Vec<Key> {
        self.inner.keys.look(|keys| keys.iter().map(|(key, _)| key.clone()).collect())
    }

    /// Without waiting: at most one for each key and minute, and nothing that was asked for depends on it.
    fn record_use(&self, id: String, now: Timestamp) {
        self.inner.keys.change(|keys| {
            for (key, _) in keys.iter_mut().filter(|(key, _)| key.id == id) {
                key.last_used = Some(now);
            }
        });
        let write = move |connection: &Connection| {
            let written = connection.execute("UPDATE keys SET last_used = ?2 WHERE id = ?1", (&id, now));
            written
                .inspect_err(|error| tracing::error!(key = id, "its use could not be recorded: {error}"))?;
            Ok(())
        };
        self.inner.writer.send(None, false, write, |()| {});
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn secret() -> Result<String, StoreError> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(bits.iter().fold(PREFIX.to_string(), |secret, byte| format!("{secret}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(role: Role) -> NewKey {
        NewKey { name: "widget".into(), role, requests_per_minute: Some(60), tokens_per_minute: None }
    }

    #[tokio::test]
    async fn a_key_is_shown_once_and_opens_until_it_is_revoked() {
        let store = Store::in_memory().unwrap();
        assert!(!store.has_keys());
        let (key, secret) = store.make_key(new(Role::Agent)).await.unwrap();
        assert!(secret.starts_with("hearth_") && secret.len() == 7 + 64, "{secret}");
        assert_eq!(store.check_key(&secret).unwrap().role, Role::Agent);
        for wrong in ["", "hearth_", &secret[..70], &format!("{secret} "), &secret.to_uppercase()] {
            assert_eq!(store.check_key(wrong), None, "{wrong}");
        }
        assert!(store.keys()[0].last_used.is_some());
        store.revoke_key(&key.id).await.unwrap();
        assert_eq!(store.check_key(&secret), None);
        assert!(store.has_keys(), "nobody is let in without a key now");
        assert!(matches!(store.revoke_key("x").await, Err(StoreError::NotFound { .. })));
    }

    #[tokio::test]
    async fn keys_are_there_again_and_their_secrets_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Store::open(&path).unwrap();
        let (key, secret) = store.make_key(new(Role::Admin)).await.unwrap();
        let (revoked, gone) = store.make_key(new(Role::Client)).await.unwrap();
        store.revoke_key(&revoked.id).await.unwrap();
        drop(store);
        let file = std::fs::read(&path).unwrap();
        let digits = secret.trim_start_matches(PREFIX).as_bytes();
        assert!(!file.windows(digits.len()).any(|window| window == digits));
        let store = Store::open(&path).unwrap();
        assert_eq!(store.check_key(&secret).unwrap().id, key.id);
        assert_eq!(store.check_key(&gone), None);
    }
}
