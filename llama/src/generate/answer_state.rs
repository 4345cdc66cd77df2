//! One answer in the making: it knows tokens and text, and no model.

use super::logprobs::TokenLogprobs;
use super::request::{FinishReason, GenerateError, Request, Token};
use super::sampler::Sampler;
use crate::text::stop_strings::StopStrings;
use crate::text::tokenizer::{DecodeStream, Tokenizer};

/// The state of one answer between two tokens. Its drivers feed it logits: `Generate` for one request at a time, the
/// `Scheduler` for many at once. So both stop at the same places and give the same text.
#[derive(Debug)]
pub(crate) struct AnswerState {
    tokens: Vec<u32>,
    /// Length of `tokens` at which the answer ends.
    end: usize,
    eos: Vec<u32>,
    sampler: Sampler,
    logprobs: Option<usize>,
    /// `None` once the answer has ended.
    letters: Option<DecodeStream>,
    text: StopStrings,
}

impl AnswerState {
    /// The answer before its first token.
    pub fn new(
        request: Request,
        tokenizer: &Tokenizer,
        context_length: usize,
        vocab_size: usize,
    ) -> Result<Self, GenerateError> {
        request.validate(context_length, vocab_size)?;
        let mut sampler = Sampler::new(request.sampling)?;
        sampler.observe(&request.prompt);
        Ok(Self {
            end: request.prompt.len().saturating_add(request.max_tokens).min(context_length),
            letters: Some(tokenizer.stream_after(&request.prompt)),
            tokens: request.prompt,
            eos: if request.ignore_eos { Vec::new() } else { tokenizer.eos().to_vec() },
            sampler,
            logprobs: request.logprobs,
            text: StopStrings::new(request.stop),
        })
    }

    /// How many tokens may still be guessed: one fewer than may still be generated.
    pub fn room(&self) -> usize {
        (self.end - self.tokens.len()).saturating_sub(1)
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The next token, from the logits after [`tokens`](Self::tokens).
    pub fn advance(&mut self, logits: &[f32]) -> Result<Token, GenerateError> {
        let id = self.sampler.sample(logits).ok_or(GenerateError::NotANumber)?;
        self.sampler.record(id);
        self.tokens.push(id);
        let logprobs = self.logprobs.map(|count| Box::new(TokenLogprobs::of(logits, id, count)));
        if self.eos.contains(&id) {
            return Ok(Token { id, text: self.rest(), finish: Some(FinishReason::Stop), logprobs });
        }
        let letters = self.letters.as_mut().and_then(|letters| letters.push(id)).unwrap_or_default();
        let (mut text, stopped) = self.text.push(&letters);
        let mut finish = stopped.then_some(FinishReason::Stop);
        if finish.is_none() && self.tokens.len() >= self.end {
            finish = Some(FinishReason::Length);
            text.push_str(&self.rest());
        }
        Ok(Token { id, text, finish, logprobs })
    }

    /// The text that was held back, for the end of the answer.
    fn rest(&mut self) -> String {
        let letters = self.letters.take().and_then(DecodeStream::finish).unwrap_or_default();
        let (mut text, stopped) = self.text.push(&letters);
        if !stopped {
            text.push_str(&self.text.finish());
        }
        text
    }
}
