//! What can go wrong between a folder of documents and a list of hits.

use std::path::{Path, PathBuf};

use crate::read::KINDS;

/// An error of this crate. Each names the file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RagError {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A line of a file, or an object of its list, that is not a document.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A knowledge base without a single document.
    #[error("{}: no documents; expected {} files{}", path.display(), KINDS, list(skipped))]
    NoDocuments {
        /// The folder.
        path: PathBuf,
        /// What is there but cannot be read, and why.
        skipped: Vec<String>,
    },
    /// A file that is there but is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A document that cannot be stored.
    #[error("document `{id}`: {reason}")]
    Document {
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that the embedder could not turn into a vector.
    #[error("embedder {embedder}: {reason}")]
    Embedding {
        /// The embedder's id.
        embedder: String,
        /// Why it could not be embedded.
        reason: String,
    },
    /// An option outside its range.
    #[error("{option} is {value}; it must be {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A weight that does not fit the model.
    #[error(transparent)]
    Engine(#[from] engine::EngineError),
    /// A model file that cannot be read.
    #[error(transparent)]
    Llama(#[from] llama::LlamaError),
}

impl RagError {
    /// The file or folder that it is about, if it is about one, and what is wrong with it.
    pub fn file_and_reason(&self) -> (Option<&Path>, String) {
        match self {
            RagError::Io { path, source } => (Some(path), source.to_string()),
            RagError::File { path, reason } => (Some(path), reason.clone()),
            RagError::Line { path, line, reason } => (Some(path), format!("line {line}: {reason}")),
            RagError::NoDocuments { path, .. } => (Some(path), "no documents".into()),
            other => (None, other.to_string()),
        }
    }

    /// Turns an I/O error into one that names `path`; made for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RagError + use<> {
        let path = path.to_path_buf();
        move |source| RagError::Io { path, source }
    }

    /// The file `path` is not what it should be.
    pub(crate) fn file(path: &Path, reason: impl ToString) -> RagError {
        RagError::File { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

fn list(skipped: &[String]) -> String {
    let lines: Vec<String> = skipped.iter().map(|reason| format!("\n  {reason}")).collect();
    if lines.is_empty() { String::new() } else { format!("; skipped:{}", lines.concat()) }
}
