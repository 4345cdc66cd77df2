//! Forgetting what is old.

use rusqlite::Connection;

use super::Store;
use super::error::StoreError;
use super::timestamp::Timestamp;

impl Store {
    /// Deletes conversations and turns in which nothing happened since `older_than`, and tells how many. Keys
    /// stay.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn purge(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let purge = move |connection: &Connection| {
            let sessions = connection.execute(
                "DELETE FROM sessions WHERE updated < ?1
                   AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.session = sessions.id AND t.state = 'open')",
                [older_than],
            )?;
            let turns = connection.execute(
                "DELETE FROM turns WHERE session IS NULL AND created < ?1 AND state <> 'open'",
                [older_than],
            )?;
            Ok((sessions + turns) as u64)
        };
        self.inner.writer.erase(purge).await
    }
}
