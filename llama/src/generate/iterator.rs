//! Generation as an iterator over the tokens of one answer.

use std::collections::VecDeque;

use super::answer_state::AnswerState;
use super::continuation::Continuation;
use super::language_model::{LanguageModel, longest_sequence};
use super::request::{GenerateError, PREFILL_TOKENS, Request, SPECULATED_ROWS, Token};
use crate::text::tokenizer::Tokenizer;

/// Tokens that continue a prompt, computed as they are asked for. It ends after the token that has a
/// [`finish`](Token::finish), or after an error.
#[derive(Debug)]
pub struct Generate<'m, M: LanguageModel> {
    model: &'m mut M,
    continuation: Continuation<M::Sequence>,
    /// Tokens that are computed and not asked for yet.
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
    let answer = AnswerState::new(request, tokenizer, longest_sequence(model), model.vocab_size())?;
    let continuation = Continuation::open(answer, model, adapter, speculate);
    Ok(Generate { model, continuation, ready: VecDeque::new(), finished: false })
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
    use crate::generate::request::FinishReason;

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
