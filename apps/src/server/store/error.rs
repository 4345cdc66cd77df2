//! What may go wrong in the store.

use std::path::PathBuf;

use super::session::Status;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{} is in use by another process; two servers cannot share one file", .path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged ({reason}); restore it from a backup, or move it away to start with an empty one", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The file is a database of another program.
    #[error("{} is an SQLite database of another program", .path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("{} has schema version {found}, this server knows versions up to {known}; use a newer server", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", .path.display())]
    Open {
        /// The database or its lock.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such thing.
    #[error("there is no {noun} {id:?}")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// Its identifier.
        id: String,
    },
    /// A value cannot be taken.
    #[error("{field}: {value:?} {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A conversation cannot go from one status to the other.
    #[error("a conversation that is {from} cannot become {to}")]
    Transition {
        /// Its status.
        from: Status,
        /// The status that was asked for.
        to: Status,
    },
    /// A stored value cannot be read.
    #[error("the stored {field} of {noun} {id:?} cannot be read: {reason}")]
    Unreadable {
        /// What it belongs to.
        noun: &'static str,
        /// Its identifier.
        id: String,
        /// The field.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The group of writes that this one was in could not be committed.
    #[error("the store could not commit: {0}")]
    Commit(String),
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// The store's thread has ended.
    #[error("the store is closed")]
    Closed,
    /// SQLite failed.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl StoreError {
    pub(super) fn not_found(noun: &'static str, id: &str) -> Self {
        Self::NotFound { noun, id: id.to_string() }
    }

    pub(super) fn invalid(field: &'static str, value: impl Into<String>, reason: &'static str) -> Self {
        Self::Invalid { field, value: value.into(), reason }
    }
}
