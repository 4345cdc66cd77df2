//! The embedder as routes see it.

use std::sync::Arc;

use llama::hub::catalog;
use rag::Answerer;

/// The vector of a text.
pub type Embed = Box<dyn Fn(&str) -> anyhow::Result<Vec<f32>> + Send + Sync>;

/// The tokens that a text takes.
pub type CountTokens = Box<dyn Fn(&str) -> anyhow::Result<usize> + Send + Sync>;

/// Turns texts into vectors.
pub struct Embeddings {
    /// The embedder's name.
    pub model: String,
    /// Length of the vectors.
    pub dimensions: usize,
    /// Tokens of the longest text.
    pub max_tokens: usize,
    /// Embeds a text, which is not kept.
    pub embed: Embed,
    /// Counts a text's tokens.
    pub count_tokens: CountTokens,
}

impl Embeddings {
    /// The embedder of a knowledge base.
    pub fn of(answerer: Arc<Answerer>) -> Self {
        let embedder = answerer.retriever().embedder();
        let (dimensions, max_tokens) = (embedder.dim(), embedder.max_tokens());
        let counter = answerer.clone();
        Self {
            model: catalog::DEFAULT_EMBEDDER.into(),
            dimensions,
            max_tokens,
            // As a question: what clients send is not written to the disk.
            embed: Box::new(move |text| Ok(answerer.retriever().embedder().embed_question(text)?)),
            count_tokens: Box::new(move |text| Ok(counter.retriever().embedder().count_tokens(text)?)),
        }
    }
}
