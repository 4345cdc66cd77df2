//! The word embeddings, of which a text needs a few rows.

use std::fmt::Debug;

use engine::EngineError;

/// Looks up the rows of words. A multilingual model has 250,000 of them, most of its size: they stay where they are
/// stored, and those asked for are expanded to f32.
pub trait WordRows: Debug + Send + Sync {
    /// The rows of `tokens`, all of which are in the vocabulary, one after another.
    ///
    /// # Shapes
    /// - `tokens`: `[tokens]`
    /// - returns `[tokens, hidden]`
    ///
    /// # Errors
    /// If they cannot be read.
    fn rows(&self, tokens: &[u32]) -> Result<Vec<f32>, EngineError>;
}
