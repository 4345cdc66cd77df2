//! A model that says the last line of its prompt again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

use engine::{AdapterId, EngineError};
use llama::{Adapter, LanguageModel, SequencePart};

/// The end token of the tests' tokenizer, whose other tokens are bytes.
const END: u32 = 256;
/// A prompt with this byte fails.
const BELL: u32 = 7;
/// A prompt on which the model panics.
pub const FATAL: &str = "\u{6}";
/// Most tokens of prompt and answer together.
const CONTEXT: usize = 1024;

/// The model.
#[derive(Default)]
pub struct Echo {
    pub sequences: HashMap<usize, Vec<u32>>,
    pub opened: usize,
    /// The prompts that it has read to their ends.
    pub heard: Arc<Mutex<Vec<String>>>,
    pub steps: Arc<AtomicUsize>,
    /// Has seen [`FATAL`].
    pub fatal: bool,
    /// Tells the test that a step is about to run, and waits until the test allows it.
    pub gate: Option<(Sender<()>, Receiver<()>)>,
}

impl LanguageModel for Echo {
    type Sequence = usize;

    fn vocab_size(&self) -> usize {
        258
    }

    fn context_length(&self) -> usize {
        CONTEXT
    }

    fn block_len(&self) -> usize {
        16
    }

    fn free_blocks(&self) -> usize {
        1024
    }

    fn open(&mut self, _adapter: Option<AdapterId>, _tokens: &[u32]) -> (usize, usize) {
        self.opened += 1;
        self.sequences.insert(self.opened, Vec::new());
        (self.opened, 0)
    }

    fn truncate(&mut self, sequence: usize, len: usize) -> Result<(), EngineError> {
        self.sequences.entry(sequence).or_default().truncate(len);
        Ok(())
    }

    fn reset(&mut self) {
        assert!(!self.fatal, "a fatal prompt"); // which ends the model's thread
        self.sequences.clear();
    }

    fn load_adapter(&mut self, _adapter: Adapter) -> Result<AdapterId, EngineError> {
        Err(EngineError::Adapter("an echo has no projections".into()))
    }

    fn unload_adapter(&mut self, _adapter: AdapterId) {}

    fn close(&mut self, sequence: usize) {
        self.sequences.remove(&sequence);
    }

    fn step(&mut self, parts: &[SequencePart<'_, usize>]) -> Result<Vec<f32>, EngineError> {
        if let Some((running, leave)) = &self.gate {
            running.send(()).ok();
            leave.recv().ok();
        }
        self.steps.fetch_add(1, Ordering::Relaxed);
        let mut logits = Vec::new();
        for part in parts {
            if part.tokens.contains(&BELL) {
                return Err(EngineError::Token { token: BELL, vocab_size: 258 });
            }
            self.fatal |= part.tokens.contains(&u32::from(FATAL.as_bytes()[0]));
            assert!(!self.fatal, "a fatal prompt");
            for (index, token) in part.tokens.iter().enumerate() {
                let history = self.sequences.entry(part.sequence).or_default();
                history.push(*token);
                if index + part.outputs < part.tokens.len() {
                    continue;
                }
                let bytes: Vec<u8> = history.iter().map(|&token| token as u8).collect();
                let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
                let [.., last, said] = lines.as_slice() else {
                    logits.extend((0..258).map(|token| (token % 7) as f32));
                    continue;
                };
                if said.is_empty() && part.outputs == 1 {
                    self.heard.lock().unwrap().push(String::from_utf8_lossy(&bytes).into());
                }
                let next = last.get(said.len()).map_or(END, |&byte| byte.into());
                logits.extend((0..258).map(|token| if token == next { 9.0 } else { 0.0 }));
            }
        }
        Ok(logits)
    }
}
