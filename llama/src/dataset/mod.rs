//! Training data: from CSV and JSON files to token sequences that say which tokens are learned.
//!
//! [`Dataset::open`] reads rows, [`Dataset::split`] holds some back, [`encode()`] makes
//! [`engine::Example`]s of them, and [`epoch_order`] says in which order an epoch sees them.
//!
//! Files are read as streams: what is in memory is the rows, and one raw row at a time.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::error::LlamaError;
use crate::text::chat_template::Message;

mod columns;
mod csv_records;
mod distinct_keys;
mod encode;
mod fields;
mod file_kind;
mod json_objects;
mod lengths;
mod listed;
mod mask;
mod pair_template;
mod prompt_format;
mod row;
mod split;
mod table;

pub use columns::{Column, Columns, Field};
pub use encode::{Encoded, Learn, Refused, encode};
pub use file_kind::is_hidden;
use file_kind::{FileKind, not_rows};
pub use lengths::Lengths;
pub use listed::{Listed, Note};
pub use pair_template::PairTemplate;
pub use prompt_format::{PromptFormat, Prompts};
pub use row::{Pair, Row, RowOrigin};
pub use split::{Distinct, Split, SplitBy, SplitOptions, epoch_order};

/// Longest raw row in bytes; a longer one is no question and answer.
const MAX_ROW: usize = 1 << 20;
/// The mark that some programs put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How files are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// What the columns are called.
    pub columns: Columns,
    /// Leave out and list what cannot be read, instead of failing.
    pub skip_bad_rows: bool,
}

/// The rows of one file or of a folder of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dataset {
    /// The rows, in the files' order.
    pub rows: Vec<Row>,
    /// The files they came from.
    pub files: Vec<PathBuf>,
    /// Whether rows were written as conversations (`messages`), not as questions and answers.
    pub conversations: bool,
    /// Rows that were left out because a question, an answer or a message is blank.
    pub blank: Listed,
    /// Rows that were left out because they cannot be read.
    pub skipped: Listed,
    /// The first of the rows that [`Dataset::read_validation`] added.
    validation_from: Option<usize>,
}

impl Dataset {
    /// Reads the file `path`, or every `.csv`, `.tsv`, `.jsonl`, `.ndjson` and `.json` file of the folder
    /// `path` in the order of their names, but those that are hidden: whose name begins with a dot, or with `~$` as
    /// Office's locks do. A file of another name is read as CSV. Fields of a CSV are separated by what its first
    /// line has most of: commas, tabs or semicolons.
    ///
    /// A row is a question and its answer (`instruction` or `prompt`; `response`, `output` or
    /// `completion`; and, where there are any, `input`, `system`, `context`, `category`) or, in JSON,
    /// a conversation (`messages` of `role` and `content`, or `conversations` of `from` and `value`).
    /// Other columns are ignored.
    ///
    /// # Errors
    /// If something cannot be read, or nothing is left to train on. With `options.skip_bad_rows`,
    /// rows that cannot be read are listed in [`skipped`](Self::skipped) instead.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, LlamaError> {
        let mut dataset = Self::default();
        dataset.read_all(path, options)?;
        Ok(dataset)
    }

    /// Adds the rows of a file or folder that [`Dataset::split`] gives as its validation part, whatever
    /// share is asked for.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn read_validation(&mut self, path: &Path, options: &ReadOptions) -> Result<(), LlamaError> {
        let first = self.rows.len();
        self.read_all(path, options)?;
        self.validation_from = Some(first);
        Ok(())
    }

    /// Whether [`Dataset::read_validation`] has added rows.
    pub fn has_validation_rows(&self) -> bool {
        self.validation_from.is_some()
    }

    fn read_all(&mut self, path: &Path, options: &ReadOptions) -> Result<(), LlamaError> {
        let is_folder = fs::metadata(path).map_err(LlamaError::io(path))?.is_dir();
        let files = match is_folder {
            true => data_files(path).map_err(LlamaError::io(path))?,
            false => vec![path.to_owned()],
        };
        if files.is_empty() {
            return Err(LlamaError::file(
                path,
                "there is no .csv, .tsv, .jsonl or .json file in this folder itself (hidden files and subfolders are not read)",
            ));
        }
        let (rows, skipped) = (self.rows.len(), self.skipped.count);
        for file in files {
            self.read(file, options)?;
        }
        if self.rows.len() == rows {
            let count = self.skipped.count - skipped;
            let skipped = self.skipped.first.get(skipped).map_or(String::new(), |note| {
                format!("; {count} were skipped, the first (line {}): {}", note.line, note.reason)
            });
            let reason = format!("there is no row with an instruction and a response{skipped}");
            return Err(LlamaError::file(path, reason));
        }
        Ok(())
    }

    fn read(&mut self, path: PathBuf, options: &ReadOptions) -> Result<(), LlamaError> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(&path).map_err(LlamaError::io(&path))?);
        if file.fill_buf().map_err(LlamaError::io(&path))?.starts_with(BYTE_ORDER_MARK) {
            file.consume(BYTE_ORDER_MARK.len());
        }
        if let Some(reason) = not_rows(file.buffer()) {
            return Err(LlamaError::file(&path, reason));
        }
        self.files.push(path.clone());
        let mut sink = Sink { index: self.files.len() - 1, path: &path, options, dataset: self };
        match FileKind::of(&path).unwrap_or(FileKind::Csv) {
            FileKind::Csv => table::read(file, &mut sink),
            kind => json_objects::read(file, kind == FileKind::JsonLines, &mut sink),
        }
    }
}

/// Takes the rows of one file.
struct Sink<'a> {
    index: usize,
    path: &'a Path,
    options: &'a ReadOptions,
    dataset: &'a mut Dataset,
}

impl Sink<'_> {
    /// A row that starts on `line`: what it says, `None` if it is blank, or why it cannot be read.
    fn take(&mut self, line: u64, messages: Result<Option<Fields>, String>) -> Result<(), LlamaError> {
        let origin = RowOrigin { file: self.index, line };
        match messages {
            Ok(Some(fields)) => {
                self.dataset.conversations |= fields.conversation;
                let Fields { messages, category, .. } = fields;
                self.dataset.rows.push(Row { messages, category, origin });
            }
            Ok(None) => self.dataset.blank.add(origin, "blank"),
            Err(reason) if self.options.skip_bad_rows => self.dataset.skipped.add(origin, reason),
            Err(reason) => return Err(LlamaError::line(self.path, line, reason)),
        }
        Ok(())
    }

    fn io(&self) -> impl FnOnce(io::Error) -> LlamaError {
        LlamaError::io(self.path)
    }
}

/// The contents of a raw row.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    messages: Vec<Message>,
    category: Option<String>,
    /// Whether it was written as messages.
    conversation: bool,
}

fn too_long(bytes: u64) -> String {
    format!("the row has {bytes} bytes; more than {MAX_ROW} are no question and answer")
}

fn data_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if FileKind::of(&path).is_some() && !is_hidden(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
