//! A model with predictable answers, for tests.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;

use engine::EngineError;

use crate::language_model::{Chunk, LanguageModel};
use crate::tokenizer::Tokenizer;

/// The end token of [`letters`].
pub const END: u32 = 256;

/// A tokenizer with one token per byte, whose id is the byte, and an end token.
pub fn letters() -> Tokenizer {
    // GPT-2's byte alphabet: printable bytes stand for themselves, the others for letters from U+0100.
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100..;
    let mut vocab = serde_json::Map::new();
    for byte in 0..256u32 {
        let letter = if printable(byte) { byte } else { others.next().unwrap() };
        vocab.insert(char::from_u32(letter).unwrap().to_string(), byte.into());
    }
    let special = |id: u32, content: &str| {
        serde_json::json!({ "id": id, "content": content, "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false })
    };
    let byte_level = serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": false, "use_regex": false });
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [special(END, "<|im_end|>"), special(END + 1, "<|im_start|>")],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let config = serde_json::json!({ "eos_token": "<|im_end|>" });
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    Tokenizer::from_file(&path).unwrap()
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

    fn open(&mut self) -> usize {
        self.opened += 1;
        self.sequences.insert(self.opened, Vec::new());
        self.opened
    }

    fn close(&mut self, sequence: usize) {
        self.sequences.remove(&sequence).expect("an open sequence");
    }

    fn step(&mut self, chunks: &[Chunk<'_, usize>]) -> Result<Vec<f32>, EngineError> {
        if let Some(gate) = &self.gate {
            gate.recv().ok();
        }
        self.steps.push(chunks.iter().map(|chunk| chunk.tokens.len()).collect());
        let mut needed = 0;
        for chunk in chunks {
            let len = self.sequences[&chunk.sequence].len();
            needed += self.blocks_for(len + chunk.tokens.len()) - self.blocks_for(len);
        }
        let free = self.free_blocks();
        if needed > free {
            return Err(EngineError::CacheFull { needed, free });
        }
        let mut logits = Vec::new();
        for chunk in chunks {
            if let Some(&token) = chunk.tokens.iter().find(|&&token| self.poison == Some(token)) {
                return Err(EngineError::Token { token, vocab_size: self.vocab_size() });
            }
            let history = self.sequences.get_mut(&chunk.sequence).expect("an open sequence");
            history.extend(chunk.tokens);
            let next = self.next_after(&self.sequences[&chunk.sequence]);
            if chunk.output {
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
