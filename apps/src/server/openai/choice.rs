//! One of a request's answers, as it comes.

use llama::{FinishReason, Token, Tokenizer};
use serde_json::{Value, json};

use super::Endpoint;
use super::logprobs::{Logprobs, append};

/// An answer so far.
#[derive(Debug)]
pub struct Choice {
    endpoint: Endpoint,
    index: usize,
    logprobs: Logprobs,
    /// The prompt, where it is to stand before the answer.
    echo: String,
    /// Tokens so far.
    pub tokens: usize,
}

/// What a token adds to an answer.
#[derive(Debug)]
pub struct Added {
    text: String,
    /// Null where the request asks for none.
    logprobs: Value,
    finish: Option<FinishReason>,
}

impl Choice {
    /// An answer before its first token.
    pub fn new(endpoint: Endpoint, index: usize, echo: String) -> Self {
        Self { endpoint, index, logprobs: Logprobs::default(), echo, tokens: 0 }
    }

    /// Takes a token.
    pub fn push(&mut self, token: Token, tokenizer: &Tokenizer) -> Added {
        self.tokens += 1;
        let logprobs = self.logprobs.push(&token, tokenizer, self.endpoint).unwrap_or_default();
        let text = std::mem::take(&mut self.echo) + &token.text;
        Added { text, logprobs, finish: token.finish }
    }

    /// The first part of a streamed chat: who speaks.
    pub fn role(&self) -> Option<Value> {
        let delta = json!({"role": "assistant", "content": ""});
        matches!(self.endpoint, Endpoint::Chat).then(|| self.delta(delta, "", Value::Null, None))
    }

    /// The parts that a token adds to a stream: its text, and apart from it why the answer ends.
    pub fn parts(&mut self, token: Token, tokenizer: &Tokenizer) -> Vec<Value> {
        let Added { text, logprobs, finish } = self.push(token, tokenizer);
        let mut parts = Vec::new();
        if !text.is_empty() {
            parts.push(self.delta(json!({"content": text}), &text, logprobs, None));
        }
        parts.extend(finish.map(|finish| self.delta(json!({}), "", Value::Null, Some(finish))));
        parts
    }

    fn delta(&self, delta: Value, text: &str, logprobs: Value, finish: Option<FinishReason>) -> Value {
        let finish = finish.map(FinishReason::as_str);
        match self.endpoint {
            Endpoint::Chat => {
                json!({"index": self.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})
            }
            Endpoint::Text => {
                json!({"index": self.index, "text": text, "logprobs": logprobs, "finish_reason": finish})
            }
        }
    }

    /// The whole answer.
    pub fn whole(&mut self, tokens: Vec<Token>, tokenizer: &Tokenizer) -> Value {
        let (mut text, mut logprobs, mut finish) = (String::new(), Value::Null, None);
        for token in tokens {
            let added = self.push(token, tokenizer);
            text.push_str(&added.text);
            match logprobs {
                Value::Null => logprobs = added.logprobs,
                _ => append(&mut logprobs, added.logprobs),
            }
            finish = added.finish.map(FinishReason::as_str);
        }
        match self.endpoint {
            Endpoint::Chat => json!({"index": self.index, "message": {"role": "assistant", "content": text},
                "logprobs": logprobs, "finish_reason": finish}),
            Endpoint::Text => {
                json!({"index": self.index, "text": text, "logprobs": logprobs, "finish_reason": finish})
            }
        }
    }
}
