//! Connections that only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::schema;

/// A pool of read-only connections, opened as they are needed.
pub(super) struct Readers {
    path: Arc<PathBuf>,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// A pool of at most `most` connections to the database at `path`.
    pub(super) fn new(path: &Path, most: usize) -> Self {
        Self {
            path: Arc::new(path.to_path_buf()),
            places: Arc::new(Semaphore::new(most.max(1))),
            idle: Arc::default(),
        }
    }

    /// Runs `read` in one read transaction, so that its queries see one state, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = waiting.map_or_else(|| schema::open_to_read(&path), Ok)?;
            let transaction = connection.unchecked_transaction()?;
            let result = read(&transaction);
            transaction.finish()?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        });
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// A connection of its own for a long read on the caller's thread.
    pub(super) fn open(&self) -> Result<Connection, StoreError> {
        schema::open_to_read(&self.path)
    }
}
