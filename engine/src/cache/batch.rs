//! The ragged batch: one step's tokens from any number of sequences.

use super::ledger::SequenceId;

/// Which of the tokens pushed together give logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// None: a part of a prompt that is not the last.
    None,
    /// The last token.
    Last,
    /// The last tokens, so many of them: guesses that are to be checked.
    Tail(usize),
    /// Every token.
    All,
}

/// A flat list of tokens, parts of prompts and single decoded tokens mixed. Each sequence appears at
/// most once in a batch, and its tokens continue where its cache ends.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) tokens: Vec<u32>,
    pub(crate) sequences: Vec<BatchSequence>,
    pub(crate) outputs: Vec<usize>,
}

/// One sequence's part of a batch: `tokens[start..start + len]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSequence {
    pub sequence: SequenceId,
    pub start: usize,
    pub len: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `tokens` of `sequence`.
    pub fn push(&mut self, sequence: SequenceId, tokens: &[u32], outputs: Outputs) {
        let (start, len) = (self.tokens.len(), tokens.len());
        self.tokens.extend_from_slice(tokens);
        self.sequences.push(BatchSequence { sequence, start, len });
        let rows = match outputs {
            Outputs::None => 0,
            Outputs::Last => len.min(1),
            Outputs::Tail(rows) => rows.min(len),
            Outputs::All => len,
        };
        self.outputs.extend(start + len - rows..start + len);
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}
