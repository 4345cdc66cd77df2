//! Documents to context: read, chunk, embed, index, search, and join what was found to a context for
//! the prompt.
//!
//! The walk through a question: [`Retriever::search`] → rankings of the [`Index`] by vectors
//! ([`Embedder::embed`]) and by words (BM25) → fused by reciprocal rank, one list of documents →
//! their best passages → [`join_hits`].
//!
//! Of every score, higher is better; [`Scores`] says what range each has.

pub mod bert;
mod chunk;
mod document;
mod embedder;
mod error;
mod evaluation;
mod fusion;
mod index;
mod lexical;
mod minilm;
mod prompt;
mod read;
mod retriever;
mod selection;

#[cfg(test)]
mod bag_of_words;

pub use chunk::{Chunk, chunk};
pub use document::{Document, Format, Metadata};
pub use embedder::Embedder;
pub use error::RagError;
pub use evaluation::{Interval, Quality, interval};
pub use index::{Index, IndexOptions, IndexOrigin, IndexedDocument, Match};
pub use minilm::MiniLm;
pub use prompt::join_hits;
pub use read::Knowledge;
pub use retriever::{Hit, Question, Retriever, Scores};
pub use selection::{Selection, Weights};
