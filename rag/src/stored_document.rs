//! A document as people manage it, with where it came from and when.

use std::sync::Arc;

use crate::Document;

/// A document of a [`DocumentStore`](crate::DocumentStore).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// The document.
    pub document: Arc<Document>,
    /// Where it came from.
    pub origin: Origin,
    /// When it was last changed, in RFC 3339: its file, or by the API. Empty if that is not known.
    pub updated: String,
    /// The file that it stands in, if it stands in one.
    pub file: Option<String>,
    /// Number of passages that it can be found by.
    pub passages: usize,
}

/// Where a document came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The knowledge base's folder.
    Folder,
    /// A program or a person over HTTP.
    Api,
}

impl Origin {
    /// Its name: `folder` or `api`.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Folder => "folder",
            Origin::Api => "api",
        }
    }
}
