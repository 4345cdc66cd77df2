//! Training data: from CSV files to token sequences that say which tokens are learned.
//!
//! [`Dataset::open`] reads rows, [`Dataset::split`] holds some back, [`encode()`] makes
//! [`engine::Example`]s of them, and [`epoch_order`] says in which order an epoch sees them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::LlamaError;

mod encode;
mod split;
mod table;

pub use encode::{Encoded, Learn, encode};
pub use split::epoch_order;

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the customer writes.
    pub instruction: String,
    /// Passages that retrieval would have found for it.
    pub context: Option<String>,
    /// What the assistant answers.
    pub response: String,
    /// What kind of question it is; training does not see it, evaluation sums up by it.
    pub category: Option<String>,
    /// Where it stands: the file, and the line on which the row starts.
    pub origin: Origin,
}

/// A place in a file, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Index into [`Dataset::files`].
    pub file: usize,
    /// The line, from 1.
    pub line: u64,
}

/// The rows of one CSV file or of a folder of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The rows, in the files' order.
    pub rows: Vec<Row>,
    /// The files they came from.
    pub files: Vec<PathBuf>,
    /// Rows that were left out because their instruction or response is blank.
    pub blank: usize,
}

impl Dataset {
    /// Reads the CSV file `path`, or every `.csv` file of the folder `path` in the order of their
    /// names. A file has the columns `instruction` and `response` and may have `context` and `category`
    /// (else `intent` is taken for it); others are ignored.
    ///
    /// # Errors
    /// If something cannot be read, or nothing is left to train on.
    pub fn open(path: &Path) -> Result<Self, LlamaError> {
        let is_folder = fs::metadata(path).map_err(LlamaError::io(path))?.is_dir();
        let files = match is_folder {
            true => csv_files(path).map_err(LlamaError::io(path))?,
            false => vec![path.to_owned()],
        };
        if files.is_empty() {
            return Err(LlamaError::file(path, "there is no .csv file in this folder"));
        }
        let mut dataset = Self { rows: Vec::new(), files, blank: 0 };
        for (index, file) in dataset.files.iter().enumerate() {
            let bytes = fs::read(file).map_err(LlamaError::io(file))?;
            let table = table::parse(&bytes, file, index)?;
            dataset.rows.extend(table.rows);
            dataset.blank += table.blank;
        }
        match dataset.rows.is_empty() {
            true => Err(LlamaError::file(path, "there is no row with an instruction and a response")),
            false => Ok(dataset),
        }
    }
}

fn csv_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_csv_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b.csv"), "instruction,response\nthird,3\n").unwrap();
        fs::write(dir.path().join("a.CSV"), "instruction,response\nfirst,1\n,\nsecond,2\n").unwrap();
        fs::write(dir.path().join("notes.txt"), "no").unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        let instructions: Vec<_> = dataset.rows.iter().map(|row| row.instruction.as_str()).collect();
        assert_eq!(instructions, ["first", "second", "third"]);
        assert_eq!(dataset.rows[2].origin, Origin { file: 1, line: 2 });
        assert_eq!(dataset.blank, 1);
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.csv");
        let header = dir.path().join("header.csv");
        fs::write(&header, "instruction,response\n").unwrap();
        assert!(Dataset::open(&missing).unwrap_err().to_string().contains("missing.csv"));
        assert!(Dataset::open(&header).unwrap_err().to_string().contains("header.csv: there is no row"));
        fs::remove_file(&header).unwrap();
        assert!(Dataset::open(dir.path()).unwrap_err().to_string().contains("there is no .csv file"));
    }
}
