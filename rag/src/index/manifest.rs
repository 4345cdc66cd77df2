//! The manifest: which files are an index, and what they were made with. Replacing it is what commits a
//! change of segments.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::IndexOptions;
use super::digest::{Digest, digest};
use crate::{Embedder, RagError};

/// Begins the file; the last byte is the version, which rises whenever the layout of a file or the way that
/// documents are cut changes.
const MAGIC: &[u8; 8] = b"HRTHIX\x00\x01";

/// Its name in the index's folder.
pub(super) const NAME: &str = "manifest";

/// The manifest of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub made_with: MadeWith,
    pub segments: Vec<StoredSegment>,
    /// For each segment the numbers of the documents that are deleted.
    pub deleted: Vec<Vec<u32>>,
    /// The log of changes that are not in the segments: it and those after it are read.
    pub log: u64,
    /// The number of the next segment.
    pub next: u64,
}

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSegment {
    /// The segment's number, which its file is named by.
    pub id: u64,
    pub digest: Digest,
}

/// What an index is made with. Vectors of another embedder, or of other texts, cannot be compared with its.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeWith {
    pub embedder: String,
    pub dim: usize,
    pub embed_titles: bool,
}

impl MadeWith {
    pub fn new(embedder: &dyn Embedder, options: IndexOptions) -> Self {
        MadeWith { embedder: embedder.id().into(), dim: embedder.dim(), embed_titles: options.embed_titles }
    }

    /// How `wanted` differs, as a clause: `the embedder has changed from a to b`.
    pub fn difference(&self, wanted: &MadeWith) -> Option<String> {
        let embedded = |made: &MadeWith| if made.embed_titles { "titles and text" } else { "text" };
        let fields = [
            ("the embedder", self.embedder.clone(), wanted.embedder.clone()),
            ("the embedder's dimension", self.dim.to_string(), wanted.dim.to_string()),
            ("what is embedded", embedded(self).into(), embedded(wanted).into()),
        ];
        let changed = fields.into_iter().find(|(_, has, wants)| has != wants);
        changed.map(|(what, has, wants)| format!("{what} has changed from `{has}` to `{wants}`"))
    }
}

impl Manifest {
    /// The manifest of the index in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn read(folder: &Path) -> Result<Option<Self>, RagError> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RagError::io(&path)(error)),
        };
        if !bytes.starts_with(MAGIC) {
            let reason = match bytes.starts_with(&MAGIC[..6]) {
                true => "is of another version of this program",
                false => "is not the manifest of an index",
            };
            return Err(RagError::file(&path, reason));
        }
        let body = bytes.split_last_chunk::<32>().filter(|(body, sum)| digest(body) == **sum);
        let body = body.and_then(|(body, _)| body.get(MAGIC.len()..));
        let damaged = "is damaged: its digest is not that of what was written";
        let body = body.ok_or_else(|| RagError::file(&path, damaged))?;
        let manifest: Manifest = postcard::from_bytes(body).map_err(|error| RagError::file(&path, error))?;
        Ok(Some(manifest))
    }

    /// Replaces the manifest in `folder`, whole or not at all, and waits until that is on the disk.
    pub fn write(&self, folder: &Path) -> Result<(), RagError> {
        let path = folder.join(NAME);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(postcard::to_allocvec(self).map_err(|error| RagError::file(&path, error))?);
        bytes.extend(digest(&bytes));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(RagError::io(folder))?;
        file.write_all(&bytes).map_err(RagError::io(&path))?;
        file.as_file().sync_all().map_err(RagError::io(&path))?;
        file.persist(&path).map_err(|error| RagError::io(&path)(error.error))?;
        sync_folder(folder)
    }
}

/// Waits until the names of a folder's files are on the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), RagError> {
    #[cfg(unix)]
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(RagError::io(folder))?;
    #[cfg(not(unix))]
    let _ = folder; // other systems do not open folders
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let made_with = MadeWith { embedder: "a".into(), dim: 384, embed_titles: true };
        let segments = vec![StoredSegment { id: 7, digest: [3; 32] }];
        Manifest { made_with, segments, deleted: vec![vec![1, 900]], log: 12, next: 13 }
    }

    #[test]
    fn is_read_back_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), None);
        manifest().write(folder.path()).unwrap();
        manifest().write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), Some(manifest()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");

        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, &damaged).unwrap();
            let error = Manifest::read(folder.path()).unwrap_err().to_string();
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(Manifest::read(folder.path()).is_err());
        }
    }

    #[test]
    fn a_difference_names_both() {
        let made_with = manifest().made_with;
        let other = MadeWith { embedder: "b".into(), ..made_with.clone() };
        assert_eq!(made_with.difference(&other).unwrap(), "the embedder has changed from `a` to `b`");
        let text = MadeWith { embed_titles: false, ..made_with.clone() };
        let difference = "what is embedded has changed from `titles and text` to `text`";
        assert_eq!(made_with.difference(&text).unwrap(), difference);
        assert_eq!(made_with.difference(&made_with), None);
    }
}
