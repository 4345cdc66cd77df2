//! The server's memory: turns, conversations, feedback and keys in one SQLite file.
//!
//! One thread writes. It takes jobs from a bounded queue and commits all that wait as one transaction, and each
//! caller is told after the commit of its own job. Reads have connections of their own and see the last commit;
//! in WAL mode the writer never blocks them.
//!
//! Why `synchronous=NORMAL`: in WAL mode it loses nothing when the process is killed, because the operating system
//! has the pages. `Durability::PowerLoss` syncs the disk at each commit, which costs 4 ms where NORMAL costs 0.03 ms.
//!
//! Texts of customers are redacted before they reach the writer; see [`redact`].

mod conversation;
mod customer;
mod dashboard;
mod error;
mod feedback;
mod key;
mod lock;
mod message;
mod page;
mod period;
mod readers;
mod redact;
mod retention;
mod schema;
mod session;
mod timestamp;
mod turn;
mod turn_list;
mod writer;

#[cfg(test)]
mod tests;

pub use conversation::Conversation;
pub use customer::CustomerData;
pub use dashboard::Dashboard;
pub use error::StoreError;
pub use feedback::{Feedback, Rating};
pub use key::{NewKey, Role};
pub use message::{Message, MessageRole, NewMessage};
pub use page::Page;
pub use redact::Redactor;
pub use session::{Actor, Session, SessionFilter, SessionRow, Status};
pub use timestamp::Timestamp;
pub use turn::{Finished, NewTurn, OpenTurn, Outcome, SessionOf, TurnState};
pub use turn_list::{TurnFilter, TurnRow};

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use key::KeyRing;
use lock::FileLock;
use readers::Readers;
use writer::Writer;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, by whatever signal; a power cut may take the last moments.
    #[default]
    ProcessKill,
    /// A power cut too, as far as the disk keeps its promises.
    PowerLoss,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Replace e-mail addresses, phone, card and account numbers before anything is stored.
    pub redact: bool,
    /// What a commit survives.
    pub durability: Durability,
    /// Writes that may wait at once; more callers wait for a place.
    pub queue: usize,
    /// Reads that run at once.
    pub readers: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { redact: true, durability: Durability::default(), queue: 1024, readers: 4 }
    }
}

/// A handle on the server's memory; cheap to clone. The file is closed when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // Fields drop in this order: the writer ends before the lock is let go.
    writer: Writer,
    readers: Readers,
    keys: Arc<KeyRing>,
    redactor: Option<Redactor>,
    _lock: Option<FileLock>,
}

impl Store {
    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// If another process has it open, it is damaged or another program's, a newer version wrote it, or the disk
    /// fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, StoreOptions::default())
    }

    /// Opens or creates the file at `path` with `options`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let lock = FileLock::take(path)?;
        let connection = schema::open(path, options.durability)?;
        Self::start(connection, path, Some(lock), options)
    }

    /// A store that is forgotten with the process.
    ///
    /// # Errors
    /// If SQLite fails.
    #[cfg(test)]
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::in_memory_with(StoreOptions::default())
    }

    /// A store that is forgotten with the process, with `options`.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn in_memory_with(options: StoreOptions) -> Result<Self, StoreError> {
        // A name of its own in SQLite's memory file system, so that several connections see the same database.
        let name = format!("file:/{}?vfs=memdb", crate::id::new_id());
        let connection = schema::open(Path::new(&name), options.durability)?;
        Self::start(connection, Path::new(&name), None, options)
    }

    fn start(
        connection: Connection,
        path: &Path,
        lock: Option<FileLock>,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        turn::abandon_open(&connection)?;
        let keys = Arc::new(KeyRing::load(&connection)?);
        let readers = Readers::new(path, options.readers);
        let writer = Writer::start(connection, options.queue)?;
        let redactor = options.redact.then(Redactor::new);
        Ok(Self { inner: Arc::new(Inner { writer, readers, keys, redactor, _lock: lock }) })
    }

    /// Runs `write` in a transaction on the writer's thread and returns after its commit.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.write(write, |_| {}).await
    }

    /// Runs `read` on a connection that cannot write, apart from the threads that answer requests.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(read).await
    }

    /// `text` as it may be stored.
    fn redacted(&self, text: &str) -> String {
        match &self.inner.redactor {
            Some(redactor) => redactor.redact(text, &[]),
            None => text.to_string(),
        }
    }
}
