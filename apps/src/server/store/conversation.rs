//! Whole conversations: shown, and exported.

use rusqlite::Connection;
use serde::Serialize;

use super::Store;
use super::error::StoreError;
use super::message::Message;
use super::session::{COLUMNS, Session};
use super::timestamp::Timestamp;
use super::turn::{self, Turn};

/// A conversation with its messages.
#[derive(Debug, Clone, Serialize)]
pub struct Conversation {
    /// The conversation.
    #[serde(flatten)]
    pub session: Session,
    /// Its messages, the oldest first.
    pub messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn of(connection: &Connection, session: Session) -> Result<Self, StoreError> {
        let messages = Message::of_session(connection, &session.id)?;
        Ok(Self { session, messages })
    }
}

impl Turn {
    pub(super) fn of_session(connection: &Connection, session: &str) -> Result<Vec<Self>, StoreError> {
        let columns = turn::COLUMNS;
        let sql = format!(
            "SELECT {columns} FROM turns t LEFT JOIN feedback f ON f.turn = t.id WHERE t.session = ?1 ORDER BY t.id"
        );
        Ok(connection.prepare_cached(&sql)?.query_map([session], Self::read)?.collect::<Result<_, _>>()?)
    }
}

impl Store {
    /// A conversation with its messages.
    ///
    /// # Errors
    /// If there is none of this identifier, or the disk fails.
    pub async fn conversation(&self, id: &str) -> Result<Conversation, StoreError> {
        let id = id.to_string();
        self.read(move |connection| Conversation::of(connection, Session::find(connection, &id)?)).await
    }

    /// A conversation without its messages.
    ///
    /// # Errors
    /// If there is none of this identifier, or the disk fails.
    pub async fn session(&self, id: &str) -> Result<Session, StoreError> {
        let id = id.to_string();
        self.read(move |connection| Session::find(connection, &id)).await
    }

    /// Conversations that began from `from` until before `to`, each a line of JSON with its end of line.
    ///
    /// One is read at a time, so it takes the memory of one. It reads from the disk: call it where blocking is
    /// allowed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn export(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<impl Iterator<Item = Result<String, StoreError>> + Send + use<>, StoreError> {
        let connection = self.inner.readers.open()?;
        let mut ids = connection
            .prepare("SELECT id FROM sessions WHERE created >= ?1 AND created < ?2 ORDER BY created, id")?
            .query_map((from, to), |row| row.get::<_, String>(0))?
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let line = move |id: String| -> Result<Option<String>, StoreError> {
            let snapshot = connection.unchecked_transaction()?;
            let session = match Session::find(&snapshot, &id) {
                Err(StoreError::NotFound { .. }) => return Ok(None), // deleted since the export began
                session => session?,
            };
            let conversation = Conversation::of(&snapshot, session)?;
            let json = serde_json::to_string(&conversation).map_err(|error| StoreError::Unreadable {
                noun: "session",
                id,
                field: "messages",
                reason: error.to_string(),
            })?;
            Ok(Some(json + "\n"))
        };
        Ok(std::iter::from_fn(move || ids.by_ref().find_map(|id| line(id).transpose())))
    }
}

/// Sessions of one customer, the oldest first.
pub(super) fn of_customer(connection: &Connection, customer: &str) -> Result<Vec<Conversation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions s WHERE s.customer = ?1 ORDER BY s.created, s.id");
    let sessions: Vec<Session> =
        connection.prepare_cached(&sql)?.query_map([customer], Session::read)?.collect::<Result<_, _>>()?;
    sessions.into_iter().map(|session| Conversation::of(connection, session)).collect()
}
