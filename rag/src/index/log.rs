//! The log: changes that no segment's file has yet, one record each, on the disk before they are
//! acknowledged.
//!
//! ```text
//! record  length of the rest u32, the same with every bit flipped, first half of the rest's digest 16 bytes;
//!         the rest: length of the deleted ids u32, the ids (postcard), bytes of a segment or nothing
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::digest::text_digest;
use crate::RagError;

const HEADER: usize = 4 + 4 + 16;

/// A change: documents that go, then documents that come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Ids of the documents that are deleted.
    pub deleted: Vec<String>,
    /// A segment of those that come; empty if none do.
    pub segment: Vec<u8>,
}

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    len: u64,
    /// Whether what is behind them could not be taken back.
    broken: bool,
}

impl Log {
    /// Makes an empty log.
    pub fn create(path: PathBuf) -> Result<Self, RagError> {
        let file = File::create(&path).map_err(RagError::io(&path))?;
        file.sync_all().map_err(RagError::io(&path))?;
        Ok(Log { path, file, len: 0, broken: false })
    }

    /// Opens a log to append to it, behind its first `len` bytes: what is behind them is a record that
    /// was never acknowledged.
    pub fn open(path: PathBuf, len: u64) -> Result<Self, RagError> {
        let file = OpenOptions::new().append(true).open(&path).map_err(RagError::io(&path))?;
        file.set_len(len).map_err(RagError::io(&path))?;
        Ok(Log { path, file, len, broken: false })
    }

    /// Appends a change and waits until it is on the disk.
    pub fn append(&mut self, change: &Change) -> Result<(), RagError> {
        let ids =
            postcard::to_allocvec(&change.deleted).map_err(|error| RagError::file(&self.path, error))?;
        let mut body = (ids.len() as u32).to_le_bytes().to_vec();
        body.extend(ids);
        body.extend(&change.segment);
        let Ok(length) = u32::try_from(body.len()) else {
            return Err(RagError::file(&self.path, format!("a change of {} bytes is too large", body.len())));
        };
        let mut record = length.to_le_bytes().to_vec();
        record.extend((!length).to_le_bytes());
        record.extend(text_digest([body.as_slice()]));
        record.extend(body);
        if self.broken {
            return Err(RagError::file(&self.path, "could not be written to before"));
        }
        let written = self.file.write_all(&record).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A part of a record would hide those that follow it.
            self.broken = self.file.set_len(self.len).is_err();
            return Err(RagError::io(&self.path)(error));
        }
        self.len += record.len() as u64;
        Ok(())
    }

    /// Bytes that it has.
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub changes: Vec<Change>,
    /// Bytes of its whole records.
    pub len: u64,
    /// What is wrong behind them, unless it is a record that ends too early, as one does that was being
    /// written when the program died.
    pub damage: Option<RagError>,
}

/// Reads a log up to the first record that is not whole.
pub(super) fn read(path: &Path) -> Result<Contents, RagError> {
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(RagError::io(path))?;
    let mut contents = Contents::default();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match record(rest) {
            Some(Ok((change, behind))) => {
                contents.changes.push(change);
                contents.len += (rest.len() - behind.len()) as u64;
                rest = behind;
            }
            Some(Err(reason)) => {
                let reason = format!("is damaged from byte {} on: {reason}", contents.len);
                contents.damage = Some(RagError::file(path, reason));
                break;
            }
            None => break,
        }
    }
    Ok(contents)
}

/// The first record of `bytes` and what is behind it; `None` if they end within it.
fn record(bytes: &[u8]) -> Option<Result<(Change, &[u8]), String>> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (length, sum) = header.split_first_chunk::<4>()?;
    let (check, sum) = sum.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    if length != !u32::from_le_bytes(*check) {
        // Space that a file was given, but that was never written to, is zero.
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        return if is_blank { None } else { Some(Err("a record's length is wrong".into())) };
    }
    let (body, behind) = rest.split_at_checked(length as usize)?;
    if text_digest([body]) != sum {
        // Blocks of the last record may have reached the disk in any order.
        return if behind.is_empty() { None } else { Some(Err("a record's digest is wrong".into())) };
    }
    let parse = || {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (ids, segment) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Change { deleted: postcard::from_bytes(ids).ok()?, segment: segment.to_vec() })
    };
    Some(parse().map(|change| (change, behind)).ok_or_else(|| "a record has no ids".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: usize) -> Change {
        Change { deleted: vec![format!("document {number}")], segment: vec![number as u8; 10 * number] }
    }

    #[test]
    fn whole_records_are_read_back_wherever_the_program_died() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::create(path.clone()).unwrap();
        let mut ends = vec![0];
        for number in 0..4 {
            log.append(&change(number)).unwrap();
            ends.push(log.len());
        }
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let Contents { changes, len, damage } = read(&path).unwrap();
            let records = ends.iter().filter(|end| **end <= length as u64).count() - 1;
            assert_eq!(changes, (0..records).map(change).collect::<Vec<_>>());
            assert_eq!((len, damage.is_none()), (ends[records], true));

            let mut log = Log::open(path.clone(), len).unwrap();
            log.append(&change(9)).unwrap();
            assert_eq!(read(&path).unwrap().changes.last(), Some(&change(9)));
        }
    }

    #[test]
    fn damage_before_other_records_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::create(path.clone()).unwrap();
        (0..3).for_each(|number| log.append(&change(number)).unwrap());
        let whole = fs::read(&path).unwrap();
        let second = HEADER + 4 + postcard::to_allocvec(&change(0).deleted).unwrap().len();
        for (at, reason) in
            [(second, "length is wrong"), (second + 5, "length is wrong"), (second + 30, "digest is wrong")]
        {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let Contents { changes, damage, .. } = read(&path).unwrap();
            assert_eq!(changes, [change(0)]);
            let message = damage.unwrap().to_string();
            assert!(message.starts_with(path.to_str().unwrap()) && message.contains(reason), "{message}");
        }
    }
}
