//! Text from token ids as they come.

use super::Tokenizer;

/// How many tokens of a prompt are kept as context. One token would do for a vocabulary of words; a
/// character may be spread over several byte tokens.
const CONTEXT: usize = 8;

/// Turns ids into text one at a time, giving only complete characters.
///
/// The pieces put together are what [`Tokenizer::decode`] makes of all ids at once, control tokens
/// left out.
#[derive(Debug, Clone)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    /// Ids whose text has been given, kept because the text of an id depends on its neighbours (a space
    /// is written between words, not before the first), then ids whose text has not.
    ids: Vec<u32>,
    /// Index of the first id whose text has not been given.
    given: usize,
}

impl DecodeStream {
    pub(super) fn new(tokenizer: Tokenizer, context: &[u32]) -> Self {
        let ids = context.get(context.len().saturating_sub(CONTEXT)..).unwrap_or_default().to_vec();
        Self { tokenizer, given: ids.len(), ids }
    }

    /// Takes the next id and gives the text that it completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.ids.push(id);
        let new = self.pending();
        // A replacement character at the end is the start of a character that is not complete yet.
        if new.is_empty() || new.ends_with(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        self.ids.drain(..self.given);
        self.given = self.ids.len();
        Some(new)
    }

    /// Gives what is left: the bytes of a character that was never completed, as replacement
    /// characters.
    pub fn finish(self) -> Option<String> {
        Some(self.pending()).filter(|rest| !rest.is_empty())
    }

    /// The text of the ids whose text has not been given.
    fn pending(&self) -> String {
        let (given, new) = self.ids.split_at_checked(self.given).unwrap_or((&[], &self.ids));
        let before = self.tokenizer.decode(given, true);
        let text = self.tokenizer.decode(&self.ids, true);
        // Invalid bytes can change the text before them; then the new ids are decoded alone.
        match text.strip_prefix(&before) {
            Some(new) => new.to_string(),
            None => self.tokenizer.decode(new, true),
        }
    }
}
