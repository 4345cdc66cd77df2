//! A document: one article of a knowledge base.

use serde::{Deserialize, Serialize};

/// One article of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// The record's own id, else its place: `refunds.md`, `faq.jsonl:12`.
    pub id: String,
    /// Its title, for people and for the prompt.
    pub title: String,
    /// Its text, without front matter.
    pub text: String,
    /// What an answer cites: the record's own `source` or `url`, else the file, relative to the folder.
    pub source: String,
    /// How its text is written.
    pub format: Format,
    /// What its file says of it.
    pub metadata: Metadata,
}

/// How a document's text is written, which decides where it may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Format {
    /// Markdown, with tables.
    #[default]
    Markdown,
    /// Paragraphs between empty lines. `#` and `*` mean nothing.
    Plain,
}

/// What a document's file says of it. Fields that it does not give are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// `topic` or `category`.
    pub topic: Option<String>,
    /// `language` or `lang`, as it is written there: `de`, `pt-BR`. Its words are stemmed by this language.
    pub language: Option<String>,
    /// `updated`, `updated_at`, `last_updated`, `modified` or `date`, as it is written there.
    pub updated: Option<String>,
    /// `audience`: whom the document is for.
    pub audience: Option<String>,
}

impl Metadata {
    /// Takes each field from the first of its names for which `field` has a value.
    pub(crate) fn from_fields(field: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| field(name));
        Metadata {
            topic: first(&["topic", "category"]),
            language: first(&["language", "lang"]),
            updated: first(&["updated", "updated_at", "last_updated", "modified", "date"]),
            audience: first(&["audience"]),
        }
    }
}
