//! Generation as an iterator over tokens.
//!
//! [`Answer`] is the state of one answer in the making; it knows tokens and text, and no model. Two
//! drivers feed it logits: [`Generate`] here, for one request at a time, and the
//! [`Scheduler`](crate::Scheduler), for many at once. So both stop at the same places and give the
//! same text.

use engine::EngineError;

use crate::language_model::{Chunk, LanguageModel};
use crate::sampler::{Sampler, Sampling, SamplingError};
use crate::stop::StopStrings;
use crate::tokenizer::{DecodeStream, Tokenizer};

/// Prompt tokens computed in one step, so that a long prompt neither needs memory for all its
/// activations at once nor keeps other requests waiting for long.
pub const PREFILL_TOKENS: usize = 256;

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The tokens to continue.
    pub prompt: Vec<u32>,
    /// The most tokens to generate; the context length limits them too.
    pub max_tokens: usize,
    /// Texts that end the answer before they appear in it.
    pub stop: Vec<String>,
    /// Whether the model's end token is a token like any other, as benchmarks want it.
    pub ignore_eos: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

impl Request {
    /// A greedy continuation of `prompt` by at most `max_tokens` tokens.
    pub fn new(prompt: Vec<u32>, max_tokens: usize) -> Self {
        Self { prompt, max_tokens, stop: Vec::new(), ignore_eos: false, sampling: Sampling::default() }
    }

    /// Checks the request against a model that holds at most `context_length` tokens of one sequence.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self, context_length: usize, vocab_size: usize) -> Result<(), GenerateError> {
        self.sampling.validate()?;
        if self.prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        if self.max_tokens == 0 {
            return Err(GenerateError::NoTokens);
        }
        if self.prompt.len() >= context_length {
            return Err(GenerateError::PromptTooLong { prompt: self.prompt.len(), context_length });
        }
        match self.prompt.iter().find(|&&token| token as usize >= vocab_size) {
            Some(&token) => Err(EngineError::Token { token, vocab_size }.into()),
            None => Ok(()),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model's end token or a stop string.
    Stop,
    /// `max_tokens` or the context length.
    Length,
}

impl FinishReason {
    /// Its name in OpenAI's interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// One generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The text that can be given out now: none while a letter is incomplete or a stop string could
    /// begin, more than the token's own afterwards.
    pub text: String,
    /// Set on the last token.
    pub finish: Option<FinishReason>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// Nothing to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A request for no tokens.
    #[error("max_tokens is 0; it must be 1 or more")]
    NoTokens,
    /// A prompt that leaves no room for an answer.
    #[error(
        "the prompt has {prompt} tokens and leaves no room for an answer in a context of {context_length}"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of prompt and answer that fit.
        context_length: usize,
    },
    /// A sampling parameter outside its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model gave no usable logits.
    #[error("the model's output is not a number; its file or adapter may be damaged")]
    NotANumber,
    /// The model's thread ended before the answer did.
    #[error("the model has stopped")]
    Stopped,
}

/// One answer in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    tokens: Vec<u32>,
    /// Length of `tokens` at which the answer ends.
    end: usize,
    eos: Vec<u32>,
    sampler: Sampler,
    /// `None` once the answer has ended.
    letters: Option<DecodeStream>,
    text: StopStrings,
}

impl Answer {
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
            text: StopStrings::new(request.stop),
        })
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The next token, from the logits after [`tokens`](Self::tokens).
    pub fn advance(&mut self, logits: &[f32]) -> Result<Token, GenerateError> {
        let id = self.sampler.sample(logits).ok_or(GenerateError::NotANumber)?;
        self.sampler.observe(&[id]);
        self.tokens.push(id);
        if self.eos.contains(&id) {
            return Ok(Token { id, text: self.rest(), finish: Some(FinishReason::Stop) });
        }
        let letters = self.letters.as_mut().and_then(|letters| letters.push(id)).unwrap_or_default();
        let (mut text, stopped) = self.text.push(&letters);
        let mut finish = stopped.then_some(FinishReason::Stop);
        if finish.is_none() && self.tokens.len() >= self.end {
            finish = Some(FinishReason::Length);
            text.push_str(&self.rest());
        }
        Ok(Token { id, text, finish })
    }

    /// What was held back, at the end.
    fn rest(&mut self) -> String {
        let letters = self.letters.take().and_then(DecodeStream::finish).unwrap_or_default();
        let (mut text, stopped) = self.text.push(&letters);
        if !stopped {
            text.push_str(&self.text.finish());
        }
        text
    }
}

/// Tokens that continue a prompt, computed as they are asked for. It ends after the token that has a
/// [`finish`](Token::finish), or after an error.
#[derive(Debug)]
pub struct Generate<'m, M: LanguageModel> {
    model: &'m mut M,
    sequence: M::Sequence,
    answer: Answer,
    /// Tokens whose past the model holds.
    cached: usize,
    finished: bool,
}

/// Continues `request.prompt`.
///
/// ```no_run
/// # fn example(model: &mut llama::CachedLlama, tokenizer: &llama::Tokenizer)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// let prompt = tokenizer.encode("Once upon a time", true)?;
/// for token in llama::generate(model, tokenizer, llama::Request::new(prompt, 200))?.take(30) {
///     print!("{}", token?.text);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// If the request cannot be answered by this model.
pub fn generate<'m, M: LanguageModel>(
    model: &'m mut M,
    tokenizer: &Tokenizer,
    request: Request,
) -> Result<Generate<'m, M>, GenerateError> {
    let answer = Answer::new(request, tokenizer, longest_sequence(model), model.vocab_size())?;
    let sequence = model.open();
    Ok(Generate { model, sequence, answer, cached: 0, finished: false })
}

/// Length of the longest sequence that fits into the model's context and its free memory.
pub(crate) fn longest_sequence(model: &impl LanguageModel) -> usize {
    model.context_length().min(model.free_blocks().saturating_mul(model.block_len()))
}

impl<M: LanguageModel> Generate<'_, M> {
    fn next_token(&mut self) -> Result<Token, GenerateError> {
        let mut logits = Vec::new();
        while self.cached < self.answer.tokens().len() {
            let pending = &self.answer.tokens()[self.cached..];
            let tokens = &pending[..pending.len().min(PREFILL_TOKENS)];
            let output = tokens.len() == pending.len();
            logits = self.model.step(&[Chunk { sequence: self.sequence, tokens, output }])?;
            self.cached += tokens.len();
        }
        self.answer.advance(&logits)
    }
}

impl<M: LanguageModel> Iterator for Generate<'_, M> {
    type Item = Result<Token, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let token = self.next_token();
        self.finished = token.as_ref().map_or(true, |token| token.finish.is_some());
        Some(token)
    }
}

impl<M: LanguageModel> Drop for Generate<'_, M> {
    fn drop(&mut self) {
        self.model.close(self.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, letters};

    fn text(tokens: impl Iterator<Item = Result<Token, GenerateError>>) -> (String, Option<FinishReason>) {
        let tokens: Vec<Token> = tokens.map(Result::unwrap).collect();
        (
            tokens.iter().map(|token| token.text.as_str()).collect(),
            tokens.last().and_then(|token| token.finish),
        )
    }

    fn run(script: &str, request: Request) -> (String, Option<FinishReason>) {
        let tokenizer = letters();
        text(generate(&mut Fake::saying(script), &tokenizer, request).unwrap())
    }

    fn prompt() -> Vec<u32> {
        letters().encode("Question:\n", false).unwrap()
    }

    #[test]
    fn an_answer_ends_at_the_end_token() {
        assert_eq!(run("Hello.", Request::new(prompt(), 100)), ("Hello.".into(), Some(FinishReason::Stop)));
    }

    #[test]
    fn an_answer_ends_at_max_tokens() {
        assert_eq!(run("Hello.", Request::new(prompt(), 4)), ("Hell".into(), Some(FinishReason::Length)));
    }

    #[test]
    fn an_answer_ends_at_the_context_length() {
        let mut model = Fake { context_length: 13, ..Fake::saying("Hello.") };
        let tokenizer = letters();
        let tokens = generate(&mut model, &tokenizer, Request::new(prompt(), 100)).unwrap();
        assert_eq!(text(tokens), ("Hel".into(), Some(FinishReason::Length)));
    }

    #[test]
    fn an_answer_ends_before_a_stop_string() {
        let request = Request { stop: vec!["lo".into(), "###".into()], ..Request::new(prompt(), 100) };
        assert_eq!(run("Hello.", request), ("Hel".into(), Some(FinishReason::Stop)));
        let almost = Request { stop: vec!["Hello!".into()], ..Request::new(prompt(), 100) };
        assert_eq!(run("Hello.", almost), ("Hello.".into(), Some(FinishReason::Stop)));
        let cut = Request { stop: vec!["lo.".into()], ..Request::new(prompt(), 4) };
        assert_eq!(run("Hello.", cut), ("Hell".into(), Some(FinishReason::Length)));
    }

    #[test]
    fn no_token_shows_half_a_letter() {
        let tokenizer = letters();
        let mut model = Fake::saying("é");
        let tokens: Vec<_> = generate(&mut model, &tokenizer, Request::new(prompt(), 100))
            .unwrap()
            .map(|token| token.unwrap().text)
            .collect();
        assert_eq!(tokens, ["", "é", ""]);
    }

    #[test]
    fn ignore_eos_runs_to_max_tokens() {
        let request = Request { ignore_eos: true, ..Request::new(prompt(), 20) };
        let tokenizer = letters();
        let mut model = Fake::saying("Hi");
        let tokens = generate(&mut model, &tokenizer, request).unwrap();
        assert_eq!(tokens.count(), 20);
    }

    #[test]
    fn take_stops_early_and_frees_the_sequence() {
        let tokenizer = letters();
        let mut model = Fake::saying("Hello.");
        let free = model.free_blocks();
        let ids = generate(&mut model, &tokenizer, Request::new(prompt(), 100)).unwrap().take(3);
        assert_eq!(text(ids), ("Hel".into(), None));
        assert_eq!(model.free_blocks(), free);
    }

    #[test]
    fn a_long_prompt_goes_in_by_chunks() {
        let tokenizer = letters();
        let mut long = tokenizer.encode(&"x".repeat(600), false).unwrap();
        long.extend(prompt());
        let mut model = Fake::saying("Yes");
        let tokens = generate(&mut model, &tokenizer, Request::new(long, 100)).unwrap();
        assert_eq!(text(tokens).0, "Yes");
        assert_eq!(model.steps[..4], [vec![256], vec![256], vec![98], vec![1]]);
    }

    #[test]
    fn requests_that_cannot_be_answered_say_why() {
        let error = |request| {
            let tokenizer = letters();
            let mut model = Fake { context_length: 8, ..Fake::saying("x") };
            generate(&mut model, &tokenizer, request).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(error(Request::new(vec![], 1)), "the prompt is empty");
        assert_eq!(error(Request::new(vec![1], 0)), "max_tokens is 0; it must be 1 or more");
        assert_eq!(
            error(Request::new(vec![1; 9], 1)),
            "the prompt has 9 tokens and leaves no room for an answer in a context of 8"
        );
        assert_eq!(error(Request::new(vec![7777], 1)), "token id 7777 is outside the vocabulary of 258");
    }

    #[test]
    fn an_error_ends_the_iteration() {
        let tokenizer = letters();
        let mut model = Fake { poison: Some(u32::from(b'l')), ..Fake::saying("Hello.") };
        let mut tokens = generate(&mut model, &tokenizer, Request::new(prompt(), 100)).unwrap();
        let said: Vec<_> = tokens.by_ref().map(|token| token.map(|token| token.text).ok()).collect();
        assert_eq!(said, [Some("H".into()), Some("e".into()), Some("l".into()), None]);
        assert!(tokens.next().is_none());
    }

    #[test]
    fn logits_that_are_not_numbers_are_an_error() {
        let tokenizer = letters();
        let mut model = Fake { broken: true, ..Fake::saying("Hello.") };
        let error = generate(&mut model, &tokenizer, Request::new(prompt(), 5)).unwrap().next().unwrap();
        assert!(matches!(error, Err(GenerateError::NotANumber)));
    }
}
