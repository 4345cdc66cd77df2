//! What generation needs of a model, and the engine's model as one.

use std::fmt::Debug;

use engine::{Batch, CacheType, EngineError, KvCache, Llama, Outputs, SequenceId};

/// A model that continues sequences of tokens. Two kinds stand behind it: [`CachedLlama`], and the
/// models with predictable answers that test generation and scheduling.
pub trait LanguageModel {
    /// Names a sequence whose past the model keeps.
    type Sequence: Copy + Debug;

    /// Number of logits per token.
    fn vocab_size(&self) -> usize;

    /// Length of the longest sequence, in tokens.
    fn context_length(&self) -> usize;

    /// Positions of past tokens that one block of memory holds.
    fn block_len(&self) -> usize;

    /// Blocks that no sequence holds.
    fn free_blocks(&self) -> usize;

    /// Starts an empty sequence.
    fn open(&mut self) -> Self::Sequence;

    /// Ends a sequence and frees its blocks.
    fn close(&mut self, sequence: Self::Sequence);

    /// Continues each chunk's sequence by its tokens. A sequence appears in at most one chunk. Returns
    /// the logits after the last token of each chunk that asks for them, one row after the other:
    /// `[outputs, vocab_size]`.
    ///
    /// # Errors
    /// If the tokens cannot be computed. The sequences of the step can then only be closed.
    fn step(&mut self, chunks: &[Chunk<'_, Self::Sequence>]) -> Result<Vec<f32>, EngineError>;

    /// Blocks that `positions` positions take.
    fn blocks_for(&self, positions: usize) -> usize {
        positions.div_ceil(self.block_len().max(1))
    }
}

/// One sequence's part of a step.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'t, S> {
    /// The sequence.
    pub sequence: S,
    /// Its next tokens.
    pub tokens: &'t [u32],
    /// Whether to return the logits after the last of them.
    pub output: bool,
}

/// The engine's model with its key/value cache.
#[derive(Debug)]
pub struct CachedLlama {
    llama: Llama,
    cache: KvCache,
}

impl CachedLlama {
    /// A model with a cache of `positions` positions, shared by all its sequences.
    pub fn new(llama: Llama, positions: usize, kept: CacheType) -> Self {
        let cache = KvCache::new(llama.config(), positions, kept, llama.device());
        Self { llama, cache }
    }
}

impl LanguageModel for CachedLlama {
    type Sequence = SequenceId;

    fn vocab_size(&self) -> usize {
        self.llama.config().vocab_size
    }

    fn context_length(&self) -> usize {
        self.llama.config().max_position_embeddings
    }

    fn block_len(&self) -> usize {
        self.cache.block_len()
    }

    fn free_blocks(&self) -> usize {
        self.cache.free() / self.block_len()
    }

    fn open(&mut self) -> SequenceId {
        self.cache.open()
    }

    fn close(&mut self, sequence: SequenceId) {
        self.cache.close(sequence);
    }

    fn step(&mut self, chunks: &[Chunk<'_, SequenceId>]) -> Result<Vec<f32>, EngineError> {
        // The engine computes one row at least.
        let no_output = !chunks.iter().any(|chunk| chunk.output);
        let mut batch = Batch::new();
        for chunk in chunks {
            let outputs = if chunk.output || no_output { Outputs::Last } else { Outputs::None };
            batch.push(chunk.sequence, chunk.tokens, outputs);
        }
        let logits = self.llama.forward(&batch, &mut self.cache)?; // [outputs, vocab_size]
        if no_output {
            return Ok(Vec::new());
        }
        logits.into_data().try_into_vec().map_err(|error| EngineError::Shape {
            what: "logits".into(),
            reason: format!("not f32 values: {error:?}"),
        })
    }
}
