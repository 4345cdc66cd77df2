//! Documents to context: read, chunk, embed, index, search, and join what was found to a context for
//! the prompt.
//!
//! The walk through a question: [`Retriever::search`] → [`Embedder::embed`] → [`Index`] →
//! maximal marginal relevance → [`join_hits`].
//!
//! There is one score and one direction: the cosine of two vectors, in `[-1, 1]`, higher is better.

pub mod bert;
mod chunk;
mod document;
mod embedder;
mod error;
mod index;
mod minilm;
mod prompt;
mod retriever;

#[cfg(test)]
mod bag_of_words;

pub use chunk::{Chunk, chunk};
pub use document::{Document, read_folder};
pub use embedder::Embedder;
pub use error::RagError;
pub use index::{Index, IndexOrigin, Match};
pub use minilm::MiniLm;
pub use prompt::join_hits;
pub use retriever::{Hit, Retriever, Selection};
