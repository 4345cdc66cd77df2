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

    /// The same of questions, which some models want to be told apart from passages.
    ///
    /// # Errors
    /// If one cannot be embedded.
    fn embed_questions(&self, questions: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.embed(questions)
    }

    /// The vector of a question, which is not kept: a customer's words should not stay on disk.
    ///
    /// # Errors
    /// If it cannot be embedded.
    fn embed_question(&self, question: &str) -> Result<Vec<f32>, RagError> {
        self.embed_questions(&[question])?.pop().ok_or_else(|| RagError::Embedding {
            embedder: self.id().to_string(),
            reason: "gave no vector for a text".into(),
        })
    }

    /// Whether a question has another vector than the same text as a passage.
    fn tells_questions_apart(&self) -> bool {
        false
    }

    /// Cosine of texts that have nothing to do with each other. Models trained with a low temperature, such as E5,
    /// crowd all vectors into a narrow cone; thresholds and weights are made for a likeness from 0 to 1.
    fn unrelated_cosine(&self) -> f32 {
        0.0
    }
}

/// `cosine` on a scale on which unrelated texts have 0, and equal ones 1; within `[-1, 1]`.
pub(crate) fn likeness(cosine: f32, unrelated: f32) -> f32 {
    ((cosine - unrelated) / (1.0 - unrelated).max(1e-3)).clamp(-1.0, 1.0)
}

/// An embedder that several owners share.
impl<E: Embedder + ?Sized> Embedder for std::sync::Arc<E> {
    fn id(&self) -> &str {
        self.as_ref().id()
    }

    fn dim(&self) -> usize {
        self.as_ref().dim()
    }

    fn max_tokens(&self) -> usize {
        self.as_ref().max_tokens()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, RagError> {
        self.as_ref().count_tokens(text)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.as_ref().embed(texts)
    }

    fn embed_questions(&self, questions: &[&str]) -> Result<Vec<Vec<f32>>, RagError> {
        self.as_ref().embed_questions(questions)
    }

    fn embed_question(&self, question: &str) -> Result<Vec<f32>, RagError> {
        self.as_ref().embed_question(question)
    }

    fn tells_questions_apart(&self) -> bool {
        self.as_ref().tells_questions_apart()
    }

    fn unrelated_cosine(&self) -> f32 {
        self.as_ref().unrelated_cosine()
    }
}
