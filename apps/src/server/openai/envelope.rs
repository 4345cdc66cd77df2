//! What stands around the choices of an answer.

use serde_json::{Value, json};

use super::Endpoint;

/// The fields of an answer, or of each part of a stream, around its choices.
#[derive(Debug)]
pub struct Envelope {
    pub endpoint: Endpoint,
    pub id: String,
    pub created: u64,
    pub model: String,
    /// Tokens of all prompts, each counted once.
    pub prompt_tokens: usize,
}

impl Envelope {
    /// An answer with these choices.
    pub fn wrap(&self, choices: Vec<Value>, streamed: bool) -> Value {
        let object = match (self.endpoint, streamed) {
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Chat, true) => "chat.completion.chunk",
            (Endpoint::Text, _) => "text_completion",
        };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices})
    }

    /// The count of its tokens.
    pub fn usage(&self, completion_tokens: usize) -> Value {
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens})
    }
}
