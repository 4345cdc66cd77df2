//! The journal of a store: what was stored and deleted over HTTP, a JSON line each, the last word of each id
//! counting. It is on the disk before a change is acknowledged.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Document, RagError};

/// Lines that no longer count, beyond those that do, from which on the file is written anew when it is opened.
const WASTE: usize = 64;

/// A change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "most are documents")]
pub(super) enum Record {
    /// A document that came, or came in place of another.
    Stored { document: Document, updated: String, file: Option<String> },
    /// One that went.
    Deleted { id: String },
}

impl Record {
    fn id(&self) -> &str {
        match self {
            Record::Stored { document, .. } => &document.id,
            Record::Deleted { id } => id,
        }
    }
}

/// A journal that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None` where another process writes it.
    file: Option<File>,
    /// Bytes of whole lines.
    len: u64,
    /// Whether what is behind them could not be taken back.
    broken: bool,
}

impl Journal {
    /// Opens a journal, or makes one; gives back what it says of each id, and what of it is damaged. Where another
    /// process has it open, it is read, and cannot be written to.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>, Vec<RagError>), RagError> {
        let io = || RagError::io(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(RagError::io(folder))?;
        }
        let open = || OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = Some(open().map_err(io())?).filter(|file| file.try_lock().is_ok());
        let bytes = fs::read(path).map_err(io())?;
        // What is behind the last line's end was being written when the program died.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if let Some(file) = &file {
            file.set_len(whole as u64).map_err(io())?;
        }
        let (mut records, mut damage, mut lines) = (BTreeMap::new(), Vec::new(), 0);
        for line in bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            lines += 1;
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Record>(line) {
                Ok(record) => {
                    records.insert(record.id().to_string(), record);
                }
                Err(error) => damage.push(RagError::Line {
                    path: path.to_path_buf(),
                    line: lines,
                    reason: format!("is damaged: {error}"),
                }),
            }
        }
        let records: Vec<Record> = records.into_values().collect();
        let mut len = whole as u64;
        // A damaged line stays for a person to look at.
        if file.is_some() && damage.is_empty() && lines > 2 * records.len() + WASTE {
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut new = tempfile::NamedTempFile::new_in(folder).map_err(io())?;
            let lines = lines_of(path, &records)?;
            new.write_all(&lines).and_then(|()| new.as_file().sync_all()).map_err(io())?;
            new.persist(path).map_err(|error| io()(error.error))?;
            file = Some(open().map_err(io())?).filter(|file| file.try_lock().is_ok());
            len = lines.len() as u64;
        }
        Ok((Journal { path: path.to_path_buf(), file, len, broken: false }, records, damage))
    }

    /// Appends changes, all or none, and waits until they are on the disk.
    pub fn append(&mut self, records: &[Record]) -> Result<(), RagError> {
        let Some(file) = &mut self.file else {
            return Err(RagError::file(&self.path, "is open elsewhere: documents cannot be changed here"));
        };
        if self.broken {
            return Err(RagError::file(&self.path, "could not be written to before"));
        }
        let lines = lines_of(&self.path, records)?;
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // A part of a line would be one with the line that follows it.
            self.broken = file.set_len(self.len).is_err();
            return Err(RagError::io(&self.path)(error));
        }
        self.len += lines.len() as u64;
        Ok(())
    }
}

fn lines_of(path: &Path, records: &[Record]) -> Result<Vec<u8>, RagError> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(|error| RagError::file(path, error))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: &str, text: &str) -> Record {
        let document = Document { id: id.into(), text: text.into(), ..Document::default() };
        Record::Stored { document, updated: "2026-01-01T00:00:00.000Z".into(), file: None }
    }

    #[test]
    fn whole_lines_are_read_back_wherever_the_program_died() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, ..) = Journal::open(&path).unwrap();
        journal.append(&[stored("a", "one\ntwo"), stored("b", "b")]).unwrap();
        journal.append(&[Record::Deleted { id: "a".into() }]).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, records, damage) = Journal::open(&path).unwrap();
            assert!(damage.is_empty(), "{damage:?}");
            let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(records.len(), lines.min(2));
            assert_eq!(lines == 3, records.contains(&Record::Deleted { id: "a".into() }));
            journal.append(&[stored("c", "c")]).unwrap();
            drop(journal);
            assert!(Journal::open(&path).unwrap().1.contains(&stored("c", "c")));
        }
    }

    #[test]
    fn a_damaged_line_is_named_and_the_others_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, ..) = Journal::open(&path).unwrap();
        journal.append(&[stored("a", "a"), stored("b", "b"), stored("c", "c")]).unwrap();
        drop(journal);
        let damaged = fs::read_to_string(&path).unwrap().replacen("\"b\"", "\"b", 1);
        fs::write(&path, damaged).unwrap();
        let (_, records, damage) = Journal::open(&path).unwrap();
        assert_eq!(records, [stored("a", "a"), stored("c", "c")]);
        assert!(damage[0].to_string().contains("journal, line 2: is damaged"), "{damage:?}");
    }

    #[test]
    fn lines_that_no_longer_count_are_left_out_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, ..) = Journal::open(&path).unwrap();
        (0..200).for_each(|n| journal.append(&[stored("a", &n.to_string())]).unwrap());
        drop(journal);
        let (mut journal, records, _) = Journal::open(&path).unwrap();
        assert_eq!(records, [stored("a", "199")]);
        journal.append(&[stored("b", "b")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_second_process_reads_and_does_not_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut first, ..) = Journal::open(&path).unwrap();
        first.append(&[stored("a", "a")]).unwrap();
        let (mut second, records, _) = Journal::open(&path).unwrap();
        assert_eq!(records, [stored("a", "a")]);
        let error = second.append(&[stored("b", "b")]).unwrap_err().to_string();
        assert!(error.contains("is open elsewhere"), "{error}");
        first.append(&[stored("c", "c")]).unwrap();
    }
}
