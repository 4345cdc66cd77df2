//! The bytes of a segment: in memory, or a file that is mapped into it.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::digest::{Digest, Hasher};
use crate::RagError;

/// Bytes that do not change.
#[derive(Debug)]
pub(super) enum SegmentBytes {
    /// In memory.
    Owned(Vec<u8>),
    /// In a file; only what is read of it comes to memory.
    Mapped(Mmap),
}

impl SegmentBytes {
    /// Maps the file at `path`, whose digest must be `expected`.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn open(path: &Path, expected: &Digest) -> Result<Self, RagError> {
        let mut file = File::open(path).map_err(RagError::io(path))?;
        // Read, not mapped, so that checking does not bring all of it to this process's memory.
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read(&mut buffer).map_err(RagError::io(path))?;
            match buffer.get(..count) {
                Some(bytes) if count > 0 => hasher.update(bytes),
                _ => break,
            }
        }
        if hasher.finish() != *expected {
            return Err(RagError::file(path, "is damaged: its digest is not that of what was written"));
        }
        // SAFETY: the mapping is read-only, and this crate never writes to a segment's file again: it is
        // renamed into place and deleted, which leaves mapped pages as they are. Every number read from it
        // is checked where it is used, so that another program that writes there can cause wrong results,
        // but no access out of bounds.
        let map = unsafe { Mmap::map(&file) }.map_err(RagError::io(path))?;
        Ok(SegmentBytes::Mapped(map))
    }
}

impl Deref for SegmentBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            SegmentBytes::Owned(bytes) => bytes,
            SegmentBytes::Mapped(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::digest;
    use super::*;

    #[test]
    fn a_file_is_mapped_if_it_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let bytes: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = SegmentBytes::open(&path, &digest(&bytes)).unwrap();
        assert_eq!(*mapped, bytes);
        let error = SegmentBytes::open(&path, &digest(b"else")).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{}: is damaged: its digest is not that of what was written", path.display())
        );
        let error = SegmentBytes::open(&folder.path().join("gone"), &digest(b"")).unwrap_err();
        assert!(error.to_string().contains("gone: No such file"), "{error}");
    }
}
