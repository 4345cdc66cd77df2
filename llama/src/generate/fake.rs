//! A model with predictable answers, for tests.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;

use engine::{AdapterId, EngineError};

use crate::adapter::Adapter;
use crate::generate::language_model::{LanguageModel, SequencePart};
use crate::text::tokenizer::Tokenizer;

/// The end token of [`letters`].
pub const END: u32 = 256;

/// A tokenizer with one token per byte, whose id is the byte, and an end token.
pub fn letters() -> Tokenizer {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/letters");
    Tokenizer::from_dir(path.as_ref()).unwrap()
}

/// A model that answers every prompt, up to its last line break, with the same script and then the end
/// token. What it has read of a sequence it knows only from the chunks, as a real model does, and it
/// keeps count of the blocks.
#[derive(Debug)]
pub struct Fake {
    pub script: Vec<u32>,
    pub context_length: usize,
    pub blocks: usize,
    /// A step that contains this token fails.
    pub poison: Option<u32>,
    /// A step that contains this token panics.
    pub bomb: Option<u32>,
    /// Every logit is NaN.
    pub broken: bool,
    /// Every logit is the same.
    pub flat: bool,
    /// Each step waits for a message, where there is a gate.
    pub gate: Option<Receiver<()>>,
    /// Lengths of the chunks of each step.
    pub steps: Vec<Vec<usize>>,
    pub sequences: HashMap<usize, Vec<u32>>,
    pub opened: usize,
}

impl Fake {
    pub fn saying(script: &str) -> Self {
        Self {
            script: script.bytes().map(u32::from).collect(),
            context_length: 1024,
            blocks: 256,
            poison: None,
            bomb: None,
            broken: false,
            flat: false,
            gate: None,
            steps: Vec::new(),
            sequences: HashMap::new(),
            opened: 0,
        }
    }

    fn next_after(&self, history: &[u32]) -> u32 {
        let line = history.iter().rposition(|&token| token == u32::from(b'\n')).map_or(0, |at| at + 1);
        self.script.get(history.len() - line).copied().unwrap_or(END)
    }
}

impl LanguageModel for Fake {
    type Sequence = usize;

    fn vocab_size(&self) -> usize {
        258
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn block_len(&self) -> usize {
        4
    }

    fn free_blocks(&self) -> usize {
        self.blocks - self.sequences.values().map(|tokens| self.blocks_for(tokens.len())).sum::<usize>()
    }

    fn open(&mut self, _adapter: Option<AdapterId>, _tokens: &[u32]) -> (usize, usize) {
        self.opened += 1;
        self.sequences.insert(self.opened, Vec::new());
        (self.opened, 0)
    }

    fn close(&mut self, sequence: usize) {
        self.sequences.remove(&sequence).expect("an open sequence");
    }

    fn truncate(&mut self, sequence: usize, len: usize) -> Result<(), EngineError> {
        self.sequences.get_mut(&sequence).expect("an open sequence").truncate(len);
        Ok(())
    }

    fn reset(&mut self) {
        self.sequences.clear();
    }

    fn load_adapter(&mut self, _adapter: Adapter) -> Result<AdapterId, EngineError> {
        Err(EngineError::Adapter("a fake has no projections".into()))
    }

    fn unload_adapter(&mut self, _adapter: AdapterId) {}

    fn step(&mut self, parts: &[SequencePart<'_, usize>]) -> Result<Vec<f32>, EngineError> {
        if let Some(gate) = &self.gate {
            gate.recv().ok();
        }
        self.steps.push(parts.iter().map(|part| part.tokens.len()).collect());
        let mut needed = 0;
        for part in parts {
            let len = self.sequences[&part.sequence].len();
            needed += self.blocks_for(len + part.tokens.len()) - self.blocks_for(len);
        }
        let free = self.free_blocks();
        if needed > free {
            return Err(EngineError::CacheFull { needed, free });
        }
        let mut logits = Vec::new();
        for part in parts {
            let contains = |wanted: Option<u32>| part.tokens.iter().find(|&&token| wanted == Some(token));
            if let Some(&token) = contains(self.poison) {
                return Err(EngineError::Token { token, vocab_size: self.vocab_size() });
            }
            assert!(contains(self.bomb).is_none(), "a bomb went off");
            for (index, token) in part.tokens.iter().enumerate() {
                self.sequences.get_mut(&part.sequence).expect("an open sequence").push(*token);
                if index + part.outputs < part.tokens.len() {
                    continue;
                }
                let next = self.next_after(&self.sequences[&part.sequence]);
                let row = (0..self.vocab_size() as u32).map(|token| match token == next {
                    _ if self.broken => f32::NAN,
                    true if !self.flat => 9.0,
                    _ => 0.0,
                });
                logits.extend(row);
            }
        }
        Ok(logits)
    }
}
