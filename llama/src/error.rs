//! What can be wrong with the files this crate reads and fetches.

use std::io;
use std::path::{Path, PathBuf};

use engine::EngineError;

/// An error of this crate: one line that names the file and what is wrong with it.
///
/// Causes are part of the line, so a caller that prints an error's chain repeats nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LlamaError {
    /// The operating system refused a file.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A file that is not what it should be: truncated, malformed, or of a kind not supported.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a text file that is not what it should be.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that is missing, misshapen, or of a type that cannot be loaded.
    #[error("{}: tensor `{name}` {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name as the file has it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model configuration that this crate cannot run.
    #[error("{}: `{field}` {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field as the file names it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model reference that leads to no files.
    #[error("model `{reference}`: {reason}")]
    Model {
        /// The reference as it was given.
        reference: String,
        /// What was tried, and what to do.
        reason: String,
    },
    /// A download that failed.
    #[error("{url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// The engine refused what a file holds.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl LlamaError {
    /// Turns an I/O error into one that names its file; made for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> LlamaError {
        move |cause| LlamaError::Io { path: path.to_path_buf(), cause }
    }

    /// A file that is not what it should be.
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> LlamaError {
        LlamaError::File { path: path.to_path_buf(), reason: reason.into() }
    }

    /// A line that is not what it should be.
    pub(crate) fn line(path: &Path, line: u64, reason: impl Into<String>) -> LlamaError {
        LlamaError::Line { path: path.to_path_buf(), line, reason: reason.into() }
    }

    /// A tensor that cannot be used.
    pub(crate) fn tensor(path: &Path, name: &str, reason: impl Into<String>) -> LlamaError {
        LlamaError::Tensor { path: path.to_path_buf(), name: name.into(), reason: reason.into() }
    }

    /// A configuration field that cannot be used.
    pub(crate) fn config(path: &Path, field: &str, reason: impl Into<String>) -> LlamaError {
        LlamaError::Config { path: path.to_path_buf(), field: field.into(), reason: reason.into() }
    }
}
