//! Generation as an iterator over tokens.
//!
//! [`Generate`] answers one request at a time; the [`Scheduler`](crate::generate::scheduler::Scheduler) many at once. Both drive a
//! continuation, which feeds an answer with the model's logits.

mod adapter_choice;
mod answer;
mod continuation;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod language_model;
mod lookup;
pub(crate) mod sampler;
pub(crate) mod scheduler;

use std::collections::VecDeque;

use engine::EngineError;

use crate::generate::language_model::LanguageModel;
use crate::generate::sampler::{Sampling, SamplingError};
use crate::text::tokenizer::Tokenizer;

pub(crate) use adapter_choice::Unloading;
pub use adapter_choice::{AdapterChoice, LoadedAdapter};
pub(crate) use answer::Answer;
pub(crate) use continuation::{Continuation, Settled};

/// Prompt tokens computed in one step, so that a long prompt neither needs memory for all its
/// activations at once nor keeps other requests waiting for long.
pub const PREFILL_TOKENS: usize = 256;

/// Rows of single tokens and guesses that one step computes at most: beyond that a row that is checked in vain costs
/// as much as a token.
pub const SPECULATED_ROWS: usize = 12;

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
    /// The adapter to compute under.
    pub adapter: AdapterChoice,
    /// Whether tokens may be guessed from what stood before, several a step: the answer is the same, in less time
    /// where it copies from its prompt.
    pub speculate: bool,
}

impl Request {
    /// A greedy continuation of `prompt` by at most `max_tokens` tokens.
    pub fn new(prompt: Vec<u32>, max_tokens: usize) -> Self {
        Self {
            prompt,
            max_tokens,
            stop: Vec::new(),
            ignore_eos: false,
            sampling: Sampling::default(),
            adapter: AdapterChoice::default(),
            speculate: true,
        }
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
    /// The model panicked; other requests are not concerned.
    #[error("the model panicked on this request: {0}")]
    Panicked(String),
    /// The model's thread ended before the answer did.
    #[error("the model has stopped")]
    Stopped,
}

/// Tokens that continue a prompt, computed as they are asked for. It ends after the token that has a
/// [`finish`](Token::finish), or after an error.
#[derive(Debug)]
pub struct Generate<'m, M: LanguageModel> {
    model: &'m mut M,
    continuation: Continuation<M::Sequence>,
    /// Computed, and not asked for yet.
    ready: VecDeque<Result<Token, GenerateError>>,
    finished: bool,
}

/// Continues `request.prompt`.
///
/// ```no_run
/// # fn example(model: &mut llama::CachedLlama, tokenizer: &llama::Tokenizer)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// let prompt = tokenizer.encode_prompt("Once upon a time")?;
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
    let (adapter, speculate) = (request.adapter.id(model.default_adapter()), request.speculate);
    let answer = Answer::new(request, tokenizer, longest_sequence(model), model.vocab_size())?;
    let continuation = Continuation::open(answer, model, adapter, speculate);
    Ok(Generate { model, continuation, ready: VecDeque::new(), finished: false })
}

/// Length of the longest sequence that fits into the model's context and its free memory.
pub(crate) fn longest_sequence(model: &impl LanguageModel) -> usize {
    model.context_length().min(model.free_blocks().saturating_mul(model.block_len()))
}

impl<M: LanguageModel> Generate<'_, M> {
    /// Tokens that were guessed so far, and how many of them were right.
    pub fn guesses(&self) -> (usize, usize) {
        self.continuation.guesses()
    }

    /// Computes until a token or an error is ready.
    fn compute(&mut self) {
        while self.ready.is_empty() {
            let continuation = &mut self.continuation;
            continuation.plan(PREFILL_TOKENS);
            continuation.guess(SPECULATED_ROWS, self.model);
            let logits = match self.model.step(&[continuation.part()]) {
                Ok(logits) => logits,
                Err(error) => return self.ready.push_back(Err(error.into())),
            };
            let rows = logits.chunks_exact(self.model.vocab_size().max(1));
            continuation.settle(rows, self.model, |token| self.ready.push_back(token));
        }
    }
}

impl<M: LanguageModel> Iterator for Generate<'_, M> {
    type Item = Result<Token, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        self.compute();
        let token = self.ready.pop_front();
        self.finished = !matches!(&token, Some(Ok(token)) if token.finish.is_none());
        token
    }
}

impl<M: LanguageModel> Drop for Generate<'_, M> {
    fn drop(&mut self) {
        self.model.close(self.continuation.sequence());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::fake::{Fake, letters};

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
