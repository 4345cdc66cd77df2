//! Files and folders that get their names only once they are whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::LlamaError;

/// A file under a temporary name, which [`commit`](Self::commit) renames. Dropped uncommitted, it is deleted.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
    file: File,
}

impl Staged {
    /// Creates an empty temporary file that a commit renames to `path`.
    pub fn create(path: &Path) -> Result<Self, LlamaError> {
        let temporary = partial(path);
        let file = File::create(&temporary).map_err(LlamaError::io(path))?;
        Ok(Self { temporary, path: path.to_path_buf(), file })
    }

    /// Writes `bytes` to a temporary file that a commit renames to `path`.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, LlamaError> {
        let mut staged = Self::create(path)?;
        let written = staged.file.write_all(bytes).and_then(|()| staged.file.sync_all());
        written.map_err(LlamaError::io(path))?;
        Ok(staged)
    }

    /// The path after the commit.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path before the commit.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The file, for writing.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Renames the file to its final path, replacing a file that is there.
    pub fn commit(self) -> Result<(), LlamaError> {
        self.file.sync_all().map_err(LlamaError::io(&self.path))?;
        fs::rename(&self.temporary, &self.path).map_err(LlamaError::io(&self.path))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary); // fails after a commit, when it is gone
    }
}

/// A folder under a temporary name, which [`commit`](Self::commit) renames. Dropped uncommitted, it is deleted with
/// its contents.
#[derive(Debug)]
pub(crate) struct StagedFolder {
    temporary: PathBuf,
    path: PathBuf,
}

impl StagedFolder {
    /// Creates an empty temporary folder that a commit renames to `path`. There may be an empty folder at `path` but no
    /// other: the files of two models in one folder would be read as one model.
    pub fn create(path: &Path) -> Result<Self, LlamaError> {
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(LlamaError::file(path, "is not empty; name a new folder"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(LlamaError::Io { path: path.to_path_buf(), cause }),
        }
        let temporary = partial(path);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(LlamaError::io(&temporary))?; // left by a run that was killed
        }
        fs::create_dir_all(&temporary).map_err(LlamaError::io(path))?;
        Ok(Self { temporary, path: path.to_path_buf() })
    }

    /// The path to write the file `name` to before the commit.
    pub fn join(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// The folder's path before the commit.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Renames the folder to its final path.
    pub fn commit(self) -> Result<(), LlamaError> {
        match fs::remove_dir(&self.path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(LlamaError::Io { path: self.path.clone(), cause });
            }
            _ => {}
        }
        fs::rename(&self.temporary, &self.path).map_err(LlamaError::io(&self.path))?;
        #[cfg(unix)] // elsewhere a folder cannot be opened
        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // Without this the renaming may be lost in a power cut, though later steps rely on it.
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(LlamaError::io(parent))?;
        }
        Ok(())
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary); // fails after a commit, when it is gone
    }
}

/// The temporary name for `path`, in the same folder, so that renaming never copies.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_that_is_not_committed_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        drop(Staged::write(&path, b"new").unwrap());
        assert_eq!((fs::read(&path).unwrap().as_slice(), names(dir.path()).len()), (&b"old"[..], 1));
        Staged::write(&path, b"new").unwrap().commit().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), names(dir.path()).len()), (&b"new"[..], 1));
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder");
        let staged = StagedFolder::create(&path).unwrap();
        fs::write(staged.join("file"), "1").unwrap();
        drop(staged);
        assert_eq!(names(&dir.path().join("new")), [""; 0]);

        fs::create_dir(&path).unwrap();
        fs::create_dir(dir.path().join("new/.folder.partial")).unwrap();
        fs::write(dir.path().join("new/.folder.partial/stale"), "").unwrap();
        let staged = StagedFolder::create(&path).unwrap();
        fs::write(staged.join("file"), "1").unwrap();
        staged.commit().unwrap();
        assert_eq!(
            (names(&dir.path().join("new")), names(&path)),
            (vec!["folder".into()], vec!["file".into()])
        );
        let error = StagedFolder::create(&path).unwrap_err().to_string();
        assert!(error.ends_with("folder: is not empty; name a new folder"), "{error}");
        assert!(StagedFolder::create(&path.join("file")).is_err());
    }
}
