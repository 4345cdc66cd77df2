//! Log-probabilities in OpenAI's forms.

use llama::{Token, Tokenizer};
use serde_json::{Map, Value, json};

use super::{Endpoint, Fields};
use crate::error::ApiError;

/// Most alternatives of a token.
pub const MOST_ALTERNATIVES: usize = 20;

/// Reads a chat's `logprobs` and `top_logprobs`: with how many alternatives each token comes; `None` for no
/// log-probabilities.
///
/// # Errors
/// If there are too many, or alternatives without log-probabilities.
pub fn chat_alternatives(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let wanted = fields.take("logprobs")?.unwrap_or(false);
    let count: Option<usize> = fields.take("top_logprobs")?;
    match count {
        Some(count) if count > MOST_ALTERNATIVES => Err(fields.refused(
            "top_logprobs",
            format!("{count} is too many; it must be from 0 to {MOST_ALTERNATIVES}"),
        )),
        Some(count) if !wanted && count > 0 => {
            Err(fields.refused("top_logprobs", "it needs `logprobs` to be true"))
        }
        count => Ok(wanted.then_some(count.unwrap_or(0))),
    }
}

/// One token of an answer.
#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    logprob: f32,
    top: Vec<(Vec<u8>, f32)>,
    /// Where it begins in the answer's text: in bytes, and in characters.
    start: usize,
    start_in_chars: usize,
}

/// The log-probabilities of one answer. They come with the text that their tokens write: not with what is held back,
/// nor with the end token or a stop string, whose text is not given.
#[derive(Debug, Default)]
pub struct Logprobs {
    held: Vec<Entry>,
    /// Bytes and characters of the tokens so far.
    written: usize,
    chars: usize,
    /// Bytes of text that were given out.
    given: usize,
}

impl Logprobs {
    /// Takes a token and returns the log-probabilities that go with its text; `None` if the request asks for none.
    pub fn push(&mut self, token: &Token, tokenizer: &Tokenizer, endpoint: Endpoint) -> Option<Value> {
        let logprobs = token.logprobs.as_ref()?;
        let is_end = token.finish.is_some() && tokenizer.eos().contains(&token.id);
        if !is_end {
            let bytes = tokenizer.token_bytes(token.id);
            let top = logprobs.top.iter().map(|&(id, logprob)| (tokenizer.token_bytes(id), logprob));
            let (start, start_in_chars) = (self.written, self.chars);
            if !tokenizer.is_control(token.id) {
                // Others are left out of the text.
                self.written += bytes.len();
                self.chars += bytes.iter().filter(|&byte| byte & 0xc0 != 0x80).count();
            }
            let (logprob, top) = (logprobs.chosen, top.collect());
            self.held.push(Entry { bytes, logprob, top, start, start_in_chars });
        }
        self.given += token.text.len();
        let ready = self.held.partition_point(|entry| entry.start < self.given);
        let entries: Vec<Entry> = self.held.drain(..ready).collect();
        Some(match endpoint {
            Endpoint::Chat => chat_form(&entries),
            Endpoint::Text => completion_form(&entries),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn chat_form(entries: &[Entry]) -> Value {
    let token =
        |bytes: &[u8], logprob: f32| json!({"token": text(bytes), "logprob": logprob, "bytes": bytes});
    let content = entries.iter().map(|entry| {
        let mut shown = token(&entry.bytes, entry.logprob);
        shown["top_logprobs"] = entry.top.iter().map(|(bytes, logprob)| token(bytes, *logprob)).collect();
        shown
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

fn completion_form(entries: &[Entry]) -> Value {
    let tokens: Vec<String> = entries.iter().map(|entry| text(&entry.bytes)).collect();
    let logprobs: Vec<f32> = entries.iter().map(|entry| entry.logprob).collect();
    let top = |entry: &Entry| -> Map<String, Value> {
        entry.top.iter().map(|(bytes, logprob)| (text(bytes), json!(logprob))).collect()
    };
    let top: Vec<Map<String, Value>> = entries.iter().map(top).collect();
    let offsets: Vec<usize> = entries.iter().map(|entry| entry.start_in_chars).collect();
    json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets})
}

/// Appends the log-probabilities of a part of an answer to those of the parts before it.
pub fn append(whole: &mut Value, part: Value) {
    let (Value::Object(whole), Value::Object(part)) = (whole, part) else { return };
    for (name, more) in part {
        match (whole.get_mut(&name), more) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(_), _) => {}
            (None, more) => {
                whole.insert(name, more);
            }
        }
    }
}
