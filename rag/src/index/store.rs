//! The folder that an index is kept in, of which one process at a time may be the owner.
//!
//! ```text
//! manifest      which of the others count; replaced whole
//! segment-N     a segment; written once, then renamed into place
//! log-N         changes that are in no segment yet, in the order of N
//! lock          locked by the owner as long as it lives
//! ```
//!
//! A change is on the disk, in the log, before it is acknowledged. When enough has come together, what is in
//! memory is written as a segment, and a manifest with it commits that the older logs are not needed any
//! more. Whatever the manifest does not name is left over from a program that died, and is deleted.

use std::fs::{self, File, TryLockError};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::bytes::SegmentBytes;
use super::draft::Draft;
use super::log::{Change, Log, read};
use super::manifest::{self, MadeWith, Manifest, StoredSegment, sync_folder};
use super::part::Part;
use super::segment::Segment;
use crate::RagError;

/// Suffix of a file that was found damaged and is kept to be looked at.
const DAMAGED: &str = ".damaged";

/// The folder of an index, owned by this process.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Holds the lock.
    _lock: File,
    log: Log,
    log_number: u64,
    /// The first log that is needed.
    first_log: u64,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The segments, with their deleted documents deleted.
    pub parts: Vec<Part>,
    /// Changes since, in their order.
    pub changes: Vec<Change>,
    /// What could not be read.
    pub damage: Vec<RagError>,
    /// The number of the next segment.
    pub next: u64,
    /// The logs that were read, each with the length of its whole records.
    logs: Vec<(u64, u64)>,
}

/// Locks a folder; `None` if another owner has it.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, RagError> {
    fs::create_dir_all(folder).map_err(RagError::io(folder))?;
    let path = folder.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(RagError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(RagError::io(&path)(error)),
    }
}

/// Reads what `manifest` names. Files that are damaged are left out and listed.
pub(super) fn read_folder(folder: &Path, manifest: &Manifest) -> Result<Stored, RagError> {
    let mut stored = Stored { next: manifest.next, ..Stored::default() };
    for (number, file) in manifest.segments.iter().enumerate() {
        let path = segment_path(folder, file.id);
        let segment = SegmentBytes::open(&path, &file.digest).and_then(|bytes| {
            Segment::new(bytes, manifest.made_with.dim).map_err(|reason| RagError::file(&path, reason))
        });
        match segment {
            Ok(segment) => {
                let mut part = Part::new(file.id, segment, Some(file.clone()));
                let deleted = manifest.deleted.get(number).map(Vec::as_slice).unwrap_or_default();
                deleted.iter().for_each(|document| part.delete(*document as usize));
                stored.parts.push(part);
            }
            Err(error) => stored.damage.push(error),
        }
    }
    let mut logs: Vec<u64> = numbers(folder, "log-")?;
    logs.retain(|number| *number >= manifest.log);
    logs.sort_unstable();
    for number in logs {
        let path = log_path(folder, number);
        match read(&path) {
            Ok(contents) => {
                stored.logs.push((number, contents.len));
                stored.changes.extend(contents.changes);
                stored.damage.extend(contents.damage);
            }
            Err(error) => stored.damage.push(error),
        }
    }
    Ok(stored)
}

impl Store {
    /// Takes over a locked folder whose contents have been read, or makes an empty index of it.
    pub fn open(
        folder: &Path,
        lock: File,
        stored: Option<&Stored>,
        made_with: &MadeWith,
    ) -> Result<Self, RagError> {
        remove_temporary(folder)?;
        let Some(stored) = stored else {
            clear(folder)?;
            let log = Log::create(log_path(folder, 0))?;
            let store = Store { folder: folder.into(), _lock: lock, log, log_number: 0, first_log: 0 };
            store.commit(&[], made_with, 0)?;
            return Ok(store);
        };
        for error in &stored.damage {
            if let RagError::File { path, .. } = error {
                let mut kept = path.clone().into_os_string();
                kept.push(DAMAGED);
                fs::copy(path, kept).map_err(RagError::io(path))?;
            }
        }
        let (number, log) = match stored.logs.last() {
            Some((number, len)) => (*number, Log::open(log_path(folder, *number), *len)?),
            None => (0, Log::create(log_path(folder, 0))?),
        };
        let first_log = stored.logs.first().map_or(number, |(number, _)| *number);
        let store = Store { folder: folder.into(), _lock: lock, log, log_number: number, first_log };
        if !stored.damage.is_empty() {
            store.commit(&stored.parts, made_with, stored.next)?;
        }
        store.clean(&stored.parts)?;
        Ok(store)
    }

    /// Writes a change to the log and waits until it is on the disk.
    pub fn append(&mut self, change: &Change) -> Result<(), RagError> {
        self.log.append(change)
    }

    /// Bytes of the log that is written to.
    pub fn log_len(&self) -> u64 {
        self.log.len()
    }

    /// Begins a new log; gives back its number. Changes before it are in those before it.
    pub fn rotate(&mut self) -> Result<u64, RagError> {
        let number = self.log_number + 1;
        self.log = Log::create(log_path(&self.folder, number))?;
        sync_folder(&self.folder)?;
        self.log_number = number;
        Ok(number)
    }

    /// Gives a segment's file its name.
    pub fn keep(&self, Written { file, stored }: Written) -> Result<StoredSegment, RagError> {
        let path = segment_path(&self.folder, stored.id);
        file.persist(&path).map_err(|error| RagError::io(&path)(error.error))?;
        sync_folder(&self.folder)?;
        Ok(stored)
    }

    /// Where the folder is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes `parts` and the logs from `log` on be the index, and waits until that is on the disk.
    pub fn commit_from(
        &mut self,
        log: Option<u64>,
        parts: &[Part],
        made_with: &MadeWith,
        next: u64,
    ) -> Result<(), RagError> {
        let before = self.first_log;
        self.first_log = log.unwrap_or(before);
        if let Err(error) = self.commit(parts, made_with, next) {
            self.first_log = before;
            return Err(error);
        }
        self.clean(parts)
    }

    fn commit(&self, parts: &[Part], made_with: &MadeWith, next: u64) -> Result<(), RagError> {
        let stored = || parts.iter().filter_map(|part| Some((part, part.file.as_deref()?)));
        let deleted = |part: &Part| {
            let documents = 0..part.segment.documents().len();
            documents
                .filter(|number| !part.live.documents().has(*number))
                .map(|number| number as u32)
                .collect()
        };
        let manifest = Manifest {
            made_with: made_with.clone(),
            segments: stored().map(|(_, file)| file.clone()).collect(),
            deleted: stored().map(|(part, _)| deleted(part)).collect(),
            log: self.first_log,
            next,
        };
        manifest.write(&self.folder)
    }

    /// Deletes the files that the manifest does not need.
    fn clean(&self, parts: &[Part]) -> Result<(), RagError> {
        let needed = |number: &u64| parts.iter().any(|part| part.file.is_some() && part.id == *number);
        for number in numbers(&self.folder, "segment-")?.into_iter().filter(|number| !needed(number)) {
            remove(&segment_path(&self.folder, number))?;
        }
        for number in numbers(&self.folder, "log-")?.into_iter().filter(|number| *number < self.first_log) {
            remove(&log_path(&self.folder, number))?;
        }
        Ok(())
    }
}

/// A segment's file before it has its name.
#[derive(Debug)]
pub(super) struct Written {
    file: tempfile::NamedTempFile,
    stored: StoredSegment,
}

/// Writes a segment to a temporary file in `folder`, waits until it is on the disk, and maps it.
pub(super) fn write_segment(
    folder: &Path,
    id: u64,
    draft: &Draft,
    graph_from: usize,
) -> Result<(Segment, Written), RagError> {
    let path = segment_path(folder, id);
    let file = tempfile::NamedTempFile::new_in(folder).map_err(RagError::io(folder))?;
    let out = BufWriter::with_capacity(1 << 18, file);
    let (out, digest) = draft.write(out, graph_from).map_err(RagError::io(&path))?;
    let file = out.into_inner().map_err(|error| RagError::io(&path)(error.into_error()))?;
    file.as_file().sync_all().map_err(RagError::io(&path))?;
    let bytes = SegmentBytes::open(file.path(), &digest)?;
    let segment = Segment::new(bytes, draft.dim).map_err(|reason| RagError::file(&path, reason))?;
    Ok((segment, Written { file, stored: StoredSegment { id, digest } }))
}

/// Deletes all files of an index from a folder, the manifest first.
fn clear(folder: &Path) -> Result<(), RagError> {
    let manifest = folder.join(manifest::NAME);
    if manifest.exists() {
        remove(&manifest)?;
        sync_folder(folder)?;
    }
    for number in numbers(folder, "segment-")? {
        remove(&segment_path(folder, number))?;
    }
    for number in numbers(folder, "log-")? {
        remove(&log_path(folder, number))?;
    }
    Ok(())
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number}"))
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("log-{number}"))
}

/// The numbers of the files that are named by `prefix` and a number.
fn numbers(folder: &Path, prefix: &str) -> Result<Vec<u64>, RagError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(RagError::io(folder))? {
        let name = entry.map_err(RagError::io(folder))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

/// Deletes the temporary files that a program left that died.
fn remove_temporary(folder: &Path) -> Result<(), RagError> {
    for entry in fs::read_dir(folder).map_err(RagError::io(folder))? {
        let entry = entry.map_err(RagError::io(folder))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".tmp") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), RagError> {
    fs::remove_file(path).map_err(RagError::io(path))
}
