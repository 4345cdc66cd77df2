//! Embedders: texts to unit vectors.

use crate::RagError;

/// Turns texts into vectors whose dot product is their likeness.
pub trait Embedder: Send + Sync {
    /// Names the model and its weights. Vectors of embedders with different ids must not be compared;
    /// an index remembers the id it was built with.
    fn id(&self) -> &str;

    /// Length of the vectors.
    fn dim(&self) -> usize;

    /// Tokens that [`embed`](Embedder::embed) looks at; what comes after them is ignored.
    fn max_tokens(&self) -> usize;

    /// Tokens that `text` takes of [`max_tokens`](Embedder::max_tokens), those that the model adds
    /// included.
    ///
    /// # Errors
    /// If the text cannot be tokenized.
    fn count_tokens(&self, text: &str) -> Result<usize, RagError>;

    /// One vector of unit length for each text, in their order.
    ///
    /// # Errors
    /// If a text cannot be embedded.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError>;
}
