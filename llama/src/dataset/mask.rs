//! Which tokens of a conversation the assistant writes.

use std::ops::Range;

use engine::Example;

use crate::text::chat_template::{AnswerSpan, Message, Transcriber, Transcript};
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// The tokens of a conversation, of which every turn of the assistant is learned with the token that
/// ends it. Where the template ends the last turn with none, `eos` does. What comes after the last
/// learned token is left out.
///
/// A token that joins the end of a prompt with the start of an answer is learned. Control tokens that
/// the messages contain are text.
pub(super) fn conversation(
    tokenizer: &Tokenizer,
    transcriber: &Transcriber,
    messages: &[Message],
    eos: u32,
) -> Result<Example, TokenizerError> {
    let shielded =
        |message: &Message| Message::new(tokenizer.shield(&message.role), tokenizer.shield(&message.content));
    let messages: Vec<Message> = messages.iter().map(shielded).collect();
    let transcript = transcriber.transcript(&messages)?;
    let (tokens, spans) = tokenizer.encode_with_spans(&transcript.text)?;
    let mut turns = Turns { tokenizer, transcript: &transcript, tokens, spans };

    let mut learned = vec![false; turns.tokens.len()];
    let mut ended = false;
    for answer in &transcript.answers {
        let range;
        (range, ended) = turns.learned(answer);
        learned.get_mut(range).unwrap_or_default().fill(true);
    }
    let length = learned.iter().rposition(|&learned| learned).map_or(0, |last| last + 1);
    turns.tokens.truncate(length);
    learned.truncate(length);
    if !ended {
        turns.tokens.push(eos);
        learned.push(true);
    }
    Ok(Example { tokens: turns.tokens, learned })
}

struct Turns<'a> {
    tokenizer: &'a Tokenizer,
    transcript: &'a Transcript,
    tokens: Vec<u32>,
    /// The bytes of the text that each token writes.
    spans: Vec<Range<usize>>,
}

impl Turns<'_> {
    /// The tokens of an answer and of its end, and whether the last is one that ends a turn.
    fn learned(&self, answer: &AnswerSpan) -> (Range<usize>, bool) {
        let AnswerSpan { text, closed } = answer;
        let starting_before = |byte: usize| self.spans.partition_point(|span| span.start < byte);
        let first = self.spans.partition_point(|span| span.end <= text.start && span.start < text.start);
        let end = starting_before(text.end);
        let close = starting_before(*closed);
        if let Some(last) = (end..close).find(|&index| self.ends_turn(index)) {
            return (first..last + 1, true);
        }
        // No single token ends the turn, but ordinary text may.
        let words = self.transcript.text.get(text.end..*closed).unwrap_or_default().trim_end();
        if !words.is_empty() {
            return (first..starting_before(text.end + words.len()), false);
        }
        // The next turn's first token may also be what ends this one, as in GLM's models.
        if self.tokens.get(close).is_some_and(|token| self.tokenizer.eos().contains(token)) {
            return (first..close + 1, true);
        }
        (first..end, end > first && self.ends_turn(end - 1))
    }

    fn ends_turn(&self, index: usize) -> bool {
        self.tokens
            .get(index)
            .is_some_and(|token| self.tokenizer.is_control(*token) || self.tokenizer.eos().contains(token))
    }
}
