//! The ragged batch: one step's tokens from any number of sequences.

use crate::SequenceId;

/// Which of a chunk's tokens give logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// None: a prefill chunk that is not the last.
    None,
    /// The last token.
    Last,
    /// Every token.
    All,
}

/// A flat list of tokens, prefill chunks and single decode tokens mixed. Each sequence appears at
/// most once in a batch, and its tokens continue where its cache ends.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) tokens: Vec<u32>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) outputs: Vec<usize>,
}

/// One sequence's part of a batch: `tokens[start..start + len]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
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
        let start = self.tokens.len();
        let len = tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.chunks.push(Chunk { sequence, start, len });
        match outputs {
            Outputs::None => {}
            Outputs::Last => self.outputs.extend((start + len).checked_sub(1)),
            Outputs::All => self.outputs.extend(start..start + len),
        }
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
