//! What is asked for, and what comes back: tokens, the reason why they end, or an error.

use engine::EngineError;

use super::adapter_choice::AdapterChoice;
use super::logprobs::TokenLogprobs;
use super::sampling::{Sampling, SamplingError};

/// Prompt tokens computed in one step, so that a long prompt neither needs memory for all its
/// activations at once nor keeps other requests waiting for long.
pub const PREFILL_TOKENS: usize = 256;

/// Most rows of single tokens and guesses in one step. With more, checking a wrong guess costs as much as a token.
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
    /// Whether the answer goes on after the model's end token, for benchmarks.
    pub ignore_eos: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The adapter to compute under.
    pub adapter: AdapterChoice,
    /// Whether tokens may be guessed from what stood before, several a step: the answer is the same, in less time
    /// where it copies from its prompt.
    pub speculate: bool,
    /// Whether each token comes with its log-probability, and with those of how many of the most likely tokens.
    pub logprobs: Option<usize>,
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
            logprobs: None,
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
        if let Some(&(token, _)) =
            self.sampling.logit_bias.iter().find(|(token, _)| *token as usize >= vocab_size)
        {
            return Err(GenerateError::BiasedToken { token, vocab_size });
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
    /// The text that can be given out now. It is empty while a character is incomplete or the text could begin a stop
    /// string; the text held back then comes with a later token.
    pub text: String,
    /// Set on the last token.
    pub finish: Option<FinishReason>,
    /// How likely it was, where the request asks for that.
    pub logprobs: Option<Box<TokenLogprobs>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The prompt has no tokens.
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
    /// A bias for a token that the model does not have.
    #[error("logit_bias has token {token}, which is outside the vocabulary of {vocab_size}")]
    BiasedToken {
        /// The token.
        token: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
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
