//! All there is of one customer: shown, and deleted.

use rusqlite::Connection;
use serde::Serialize;

use super::Store;
use super::conversation::{self, Conversation};
use super::error::StoreError;
use super::session::Session;
use super::turn::{COLUMNS, Turn};

/// All there is of one customer.
#[derive(Debug, Clone, Serialize)]
pub struct CustomerData {
    /// The customer.
    pub customer: String,
    /// The conversations, the oldest first.
    pub sessions: Vec<Conversation>,
    /// Turns outside of conversations, the oldest first.
    pub turns: Vec<Turn>,
}

impl Store {
    /// All there is of one customer; empty if there is nothing.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn customer(&self, customer: &str) -> Result<CustomerData, StoreError> {
        let customer = customer.to_string();
        self.read(move |connection| {
            let sessions = conversation::of_customer(connection, &customer)?;
            let sql = format!(
                "SELECT {COLUMNS} FROM turns t LEFT JOIN feedback f ON f.turn = t.id
                 WHERE t.customer = ?1 AND t.session IS NULL ORDER BY t.id"
            );
            let turns = connection
                .prepare_cached(&sql)?
                .query_map([&customer], Turn::read)?
                .collect::<Result<_, _>>()?;
            Ok(CustomerData { customer, sessions, turns })
        })
        .await
    }

    /// Deletes all there is of one customer and tells how many conversations and turns outside of them that were.
    ///
    /// What is deleted is overwritten with zeros, and the write-ahead log is emptied, before this returns.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn delete_customer(&self, customer: &str) -> Result<u64, StoreError> {
        let customer = customer.to_string();
        let delete = move |connection: &Connection| {
            let sessions = connection.execute("DELETE FROM sessions WHERE customer = ?1", [&customer])?;
            let turns = connection.execute("DELETE FROM turns WHERE customer = ?1", [&customer])?;
            Ok((sessions + turns) as u64)
        };
        self.inner.writer.erase(delete).await
    }

    /// Deletes a conversation, likewise.
    ///
    /// # Errors
    /// If there is none of this identifier, or the disk fails.
    pub async fn delete_session(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_string();
        let delete = move |connection: &Connection| {
            Session::find(connection, &id)?;
            connection.execute("DELETE FROM sessions WHERE id = ?1", [&id])?;
            Ok(())
        };
        self.inner.writer.erase(delete).await
    }
}
