//! Encodes texts as the model saw them in training.

use anyhow::Result;
use llama::Tokenizer;

/// Encodes texts that may go on: with BOS before them where the model's file says so, and nothing
/// after them.
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The token that every text starts with.
    pub bos: Option<u32>,
}

impl<'a> Encoder<'a> {
    /// Asks the tokenizer what it puts around a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Result<Self> {
        Ok(Self { tokenizer, bos: tokenizer.leading_bos()? })
    }

    /// The tokens of `text`.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::from_iter(self.bos);
        tokens.extend(self.tokenizer.encode(text, false)?);
        Ok(tokens)
    }
}
