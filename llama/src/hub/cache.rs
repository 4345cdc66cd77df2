//! Where fetched files are kept.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::progress::spinner;
use crate::error::LlamaError;

/// The directory that holds all fetched models: `$HEARTH_CACHE`, else `hearth` in the platform's
/// directory for caches.
pub fn cache_dir() -> PathBuf {
    cache_dir_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        // Some containers have no home directory.
        .unwrap_or_else(|| std::env::temp_dir().join("hearth"))
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(dir) = variable("HEARTH_CACHE") {
        return Some(dir.into());
    }
    let home = || variable("HOME").map(PathBuf::from).or_else(std::env::home_dir);
    let platform = if cfg!(windows) {
        variable("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        // The XDG specification: a path that is not absolute is ignored.
        let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        xdg.or_else(|| home().map(|home| home.join(".cache")))
    };
    platform.map(|dir| dir.join("hearth"))
}

/// A lock on a directory of the cache, held until dropped (or the process ends, however it ends), so
/// that two processes do not fetch the same files at once.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other process holds the lock. The directory's parent is made if needed.
    pub fn acquire(dir: &Path) -> Result<Self, LlamaError> {
        let mut path = dir.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        fs::create_dir_all(dir).map_err(LlamaError::io(dir))?;
        let file = File::create(&path).map_err(LlamaError::io(&path))?;
        let locked = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let waiting = spinner(format!("waiting for another process to fetch {}", dir.display()));
                let locked = file.lock();
                waiting.finish_and_clear();
                locked
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        match locked {
            // Some network file systems have no locks; files are renamed into place all the same.
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(LlamaError::io(&path)(error)),
            _ => Ok(Self { _file: file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_platform() {
        let from = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> =
                set.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
            cache_dir_from(|name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(from(&[("HEARTH_CACHE", "/x"), ("HOME", "/home/me")]), Some("/x".into()));
        if cfg!(target_os = "linux") {
            assert_eq!(from(&[("HOME", "/home/me")]), Some("/home/me/.cache/hearth".into()));
            assert_eq!(from(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/hearth".into()));
            assert_eq!(from(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), Some("/h/.cache/hearth".into()));
        }
    }

    #[test]
    fn a_lock_is_held_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("owner/model");
        let lock = Lock::acquire(&model).unwrap();
        let file = File::open(dir.path().join("owner/model.lock")).unwrap();
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(file.try_lock().is_ok());
    }
}
