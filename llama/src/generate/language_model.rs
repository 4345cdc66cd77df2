//! What generation needs of a model, and the engine's model as one.

use std::fmt::Debug;

use engine::{AdapterId, Batch, CacheType, EngineError, KvCache, Llama, Outputs, SequenceId};

use crate::adapter::Adapter;

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

    /// Starts a sequence that is to begin with `tokens`, under an adapter or none, and tells how many of them it
    /// holds already, because other sequences began alike. At least one token is left to compute.
    fn open(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> (Self::Sequence, usize);

    /// Ends a sequence and frees its blocks.
    fn close(&mut self, sequence: Self::Sequence);

    /// Forgets the tokens of a sequence from number `len` on.
    ///
    /// # Errors
    /// If there is no memory for that; the sequence is then as it was.
    fn truncate(&mut self, sequence: Self::Sequence, len: usize) -> Result<(), EngineError>;

    /// Continues each part's sequence by its tokens. A sequence appears in at most one part. Returns
    /// the logits after the last tokens of each part, as many as it asks for, one row after the other:
    /// `[outputs, vocab_size]`.
    ///
    /// # Errors
    /// If the tokens cannot be computed. The sequences of the step can then only be closed.
    fn step(&mut self, parts: &[SequencePart<'_, Self::Sequence>]) -> Result<Vec<f32>, EngineError>;

    /// Drops all sequences and starts afresh, the only thing to do after a step has panicked.
    fn reset(&mut self);

    /// The adapter of requests that name none.
    fn default_adapter(&self) -> Option<AdapterId> {
        None
    }

    /// Loads an adapter beside those that are there.
    ///
    /// # Errors
    /// If it was made for another model.
    fn load_adapter(&mut self, adapter: Adapter) -> Result<AdapterId, EngineError>;

    /// Unloads an adapter that no sequence uses any more.
    fn unload_adapter(&mut self, adapter: AdapterId);

    /// Blocks that `positions` positions take.
    fn blocks_for(&self, positions: usize) -> usize {
        positions.div_ceil(self.block_len().max(1))
    }
}

/// Length of the longest sequence that fits into the model's context and its free memory.
pub(crate) fn longest_sequence(model: &impl LanguageModel) -> usize {
    model.context_length().min(model.free_blocks().saturating_mul(model.block_len()))
}

/// One sequence's part of a step.
#[derive(Debug, Clone, Copy)]
pub struct SequencePart<'t, S> {
    /// The sequence.
    pub sequence: S,
    /// Its next tokens.
    pub tokens: &'t [u32],
    /// The number of tokens, counted from the last, after which to return logits.
    pub outputs: usize,
}

/// The engine's model with its key/value cache.
#[derive(Debug)]
pub struct CachedLlama {
    llama: Llama,
    cache: KvCache,
    default_adapter: Option<AdapterId>,
}

impl CachedLlama {
    /// A model with a cache of `positions` positions, shared by all its sequences. The adapter that it carries is
    /// the one of requests that name none.
    pub fn new(llama: Llama, positions: usize, kept: CacheType) -> Self {
        let cache = KvCache::new(llama.config(), positions, kept, llama.device());
        Self { default_adapter: llama.adapter(), llama, cache }
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

    fn open(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> (SequenceId, usize) {
        let sequence = self.cache.open_with(adapter, tokens);
        (sequence, self.cache.len(sequence))
    }

    fn close(&mut self, sequence: SequenceId) {
        self.cache.close(sequence);
    }

    fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<(), EngineError> {
        self.cache.truncate(sequence, len)
    }

    fn step(&mut self, parts: &[SequencePart<'_, SequenceId>]) -> Result<Vec<f32>, EngineError> {
        // The engine computes one row at least.
        let no_output = !parts.iter().any(|part| part.outputs > 0);
        let mut batch = Batch::new();
        for part in parts {
            let outputs = if no_output { Outputs::Last } else { Outputs::Tail(part.outputs) };
            batch.push(part.sequence, part.tokens, outputs);
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

    fn reset(&mut self) {
        self.cache.reset();
    }

    fn default_adapter(&self) -> Option<AdapterId> {
        self.default_adapter
    }

    fn load_adapter(&mut self, adapter: Adapter) -> Result<AdapterId, EngineError> {
        self.llama.load_adapter(&adapter.config, adapter.weights)
    }

    fn unload_adapter(&mut self, adapter: AdapterId) {
        self.cache.forget_adapter(adapter);
        self.llama.unload_adapter(adapter);
    }
}
