//! One process at a time: a lock on a file beside the database.
//!
//! Not on the database itself: SQLite's own locks are POSIX locks, which a process loses when it closes any other
//! handle of the same file. The operating system lets the lock go when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// A lock that is held until it is dropped.
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock for the database at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let failed = |source| StoreError::Open { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
