//! Memory-mapped files whose pages are given back once they are read.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::LlamaError;

/// A memory-mapped file: its pages are read when touched and can be given back when done with, so
/// that loading a model never holds its file in memory as a whole.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps `path`.
    ///
    /// # Errors
    /// [`LlamaError::Io`] if there is no such file, [`LlamaError::File`] if it is a directory or a
    /// Git LFS pointer, the two usual mistakes.
    pub fn open(path: &Path) -> Result<Self, LlamaError> {
        let file = File::open(path).map_err(LlamaError::io(path))?;
        if file.metadata().map_err(LlamaError::io(path))?.is_dir() {
            return Err(LlamaError::file(path, "is a directory, not a file"));
        }
        // SAFETY: the mapping is read-only. As with every memory-mapped checkpoint, a program that
        // rewrites the file in place while it is loaded changes what is read here; downloads of this
        // crate never do (they are renamed into place), and every value read is treated as untrusted.
        let map = unsafe { Mmap::map(&file) }.map_err(LlamaError::io(path))?;
        if map.starts_with(b"version https://git-lfs") {
            return Err(LlamaError::file(
                path,
                "is a Git LFS pointer, not the file itself; run `git lfs pull` or download the file",
            ));
        }
        Ok(Self { path: path.to_path_buf(), map })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The bytes of `range`, if the file has them.
    pub fn pages(&self, range: Range<usize>) -> Option<MappedPages<'_>> {
        self.map.get(range.clone()).map(|_| MappedPages { file: self, range })
    }

    /// Tells the system that `range` will not be read again soon, so its pages need not stay in
    /// memory. Reading it again is correct, only slower.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.map.len() {
            // SAFETY: DontNeed discards pages, and a read-only file mapping has nothing to lose: the
            // next access reads the same bytes from the file.
            let advised = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.end - range.start,
                )
            };
            // If the system refuses the advice, only more memory stays in use.
            drop(advised);
        }
        #[cfg(not(unix))]
        drop(range);
    }
}

/// A range of a mapped file whose pages are given back to the system when this is dropped.
#[derive(Debug)]
pub(crate) struct MappedPages<'a> {
    file: &'a MappedFile,
    range: Range<usize>,
}

impl MappedPages<'_> {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

impl Deref for MappedPages<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.file.map[self.range.clone()]
    }
}

impl Drop for MappedPages<'_> {
    fn drop(&mut self) {
        self.file.release(self.range.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_after_release_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        assert_eq!(mapped.bytes(), bytes);
        mapped.release(5_000..90_000);
        mapped.release(0..usize::MAX);
        assert_eq!(mapped.bytes(), bytes);
    }

    #[test]
    fn the_usual_mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let pointer = dir.path().join("model.gguf");
        std::fs::write(&pointer, "version https://git-lfs.github.com/spec/v1\n").unwrap();
        for (path, reason) in [
            (pointer.as_path(), "Git LFS pointer"),
            (dir.path(), "is a directory"),
            (Path::new("/no/such/file"), "/no/such/file: No such file"),
        ] {
            let error = MappedFile::open(path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
