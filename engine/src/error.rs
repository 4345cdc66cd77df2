//! The errors of the engine.

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A configuration that describes no model.
    #[error("configuration: {field} {reason}")]
    Config {
        /// The field's Hugging Face name.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache has no free block left.
    #[error("the key/value cache is full: {needed} more blocks needed, {free} free")]
    CacheFull {
        /// Blocks the step needs.
        needed: usize,
        /// Blocks that are free.
        free: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token id {token} is outside the vocabulary of {vocab_size}")]
    Token {
        /// The id.
        token: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// A position that the model's rotation does not cover.
    #[error("position {position} is beyond the model's context of {limit}")]
    Position {
        /// The position, from 0.
        position: usize,
        /// Positions that there are.
        limit: usize,
    },
    /// A device this build does not have.
    #[error("device `{name}` is not available: {reason}")]
    Device {
        /// The name asked for.
        name: String,
        /// Why not, and which there are.
        reason: String,
    },
    /// An adapter that does not fit the model.
    #[error("adapter: {0}")]
    Adapter(String),
    /// A training step whose loss or gradient is infinite or NaN. It was not taken: weights and optimizer are as before.
    #[error("the {what} of this step is not finite")]
    NotFinite {
        /// `loss` or `gradient`.
        what: &'static str,
    },
    /// Data whose length does not match its shape or format.
    #[error("{what}: {reason}")]
    Shape {
        /// The thing.
        what: String,
        /// The mismatch.
        reason: String,
    },
}
