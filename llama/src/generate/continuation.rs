//! An answer and the sequence of the model that computes it, step by step.

use engine::{AdapterId, EngineError};

use super::answer_state::AnswerState;
use super::language_model::{LanguageModel, SequencePart};
use super::lookup::Lookup;
use super::request::{GenerateError, Token};

/// An answer that a model has opened a sequence for.
#[derive(Debug)]
pub(crate) struct Continuation<S> {
    answer: AnswerState,
    adapter: Option<AdapterId>,
    sequence: S,
    /// Tokens whose past the model holds.
    cached: usize,
    /// Tokens of the answer that the next step computes after them.
    planned: usize,
    /// What the next step computes: tokens of the answer, then guesses.
    tokens: Vec<u32>,
    /// How guesses are made; `None` if they are not wanted.
    lookup: Option<Lookup>,
    guessed: usize,
    right: usize,
}

/// The state of a continuation after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// There are more tokens to compute.
    GoesOn,
    /// The answer is complete, or has failed.
    Ended,
}

impl<S: Copy> Continuation<S> {
    /// Opens a sequence for an answer.
    pub fn open<M>(answer: AnswerState, model: &mut M, adapter: Option<AdapterId>, speculate: bool) -> Self
    where
        M: LanguageModel<Sequence = S>,
    {
        let (sequence, cached) = model.open(adapter, answer.tokens());
        Self {
            answer,
            adapter,
            sequence,
            cached,
            planned: 0,
            tokens: Vec::new(),
            lookup: speculate.then(Lookup::default),
            guessed: 0,
            right: 0,
        }
    }

    /// Opens a new sequence in place of one that is lost.
    pub fn reopen<M: LanguageModel<Sequence = S>>(&mut self, model: &mut M) {
        (self.sequence, self.cached) = model.open(self.adapter, self.answer.tokens());
        self.planned = 0;
        self.tokens.clear();
    }

    /// Starts again in a model that has lost all sequences: plans all tokens up to the end of the current plan.
    pub fn lose<M: LanguageModel<Sequence = S>>(&mut self, model: &mut M) {
        let planned = self.planned() > 0;
        self.reopen(model);
        if planned {
            self.plan(usize::MAX);
        }
    }

    /// The sequence.
    pub fn sequence(&self) -> S {
        self.sequence
    }

    /// Tokens whose past the model holds.
    pub fn cached(&self) -> usize {
        self.cached
    }

    /// Tokens that are not computed yet.
    pub fn left(&self) -> usize {
        self.answer.tokens().len() - self.cached
    }

    /// Tokens of the next step.
    pub fn planned(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens that were guessed so far, and how many of them were right.
    pub fn guesses(&self) -> (usize, usize) {
        (self.guessed, self.right)
    }

    /// Plans to compute at most `most` of the tokens that are left.
    pub fn plan(&mut self, most: usize) {
        self.planned = self.left().min(most);
        self.tokens.clear();
        self.tokens.extend(&self.answer.tokens()[self.cached..self.cached + self.planned]);
    }

    /// Plans to check guesses with the next token, if that is all that is planned: at most `rows` tokens together,
    /// and no more than the model has free blocks for.
    pub fn guess<M: LanguageModel<Sequence = S>>(&mut self, rows: usize, model: &M) {
        if self.left() != 1 || self.planned != 1 {
            return;
        }
        let blocks = model.blocks_for(self.cached) + model.free_blocks();
        let room = (blocks * model.block_len()).saturating_sub(self.cached + 1);
        let most = rows.saturating_sub(1).min(self.answer.room()).min(room);
        if let Some(lookup) = &mut self.lookup {
            self.tokens.extend(lookup.guess(self.answer.tokens(), most));
        }
    }

    /// The step's part.
    pub fn part(&self) -> SequencePart<'_, S> {
        SequencePart { sequence: self.sequence, tokens: &self.tokens, outputs: self.outputs() }
    }

    /// Rows of logits that the step gives: none before the last token that is left.
    pub fn outputs(&self) -> usize {
        match self.planned == self.left() {
            true => 1 + self.tokens.len() - self.planned,
            false => 0,
        }
    }

    /// Takes in the step's rows of logits: each gives a token, as long as the guess before it was right.
    pub fn settle<'l, M: LanguageModel<Sequence = S>>(
        &mut self,
        rows: impl Iterator<Item = &'l [f32]>,
        model: &mut M,
        mut deliver: impl FnMut(Result<Token, GenerateError>),
    ) -> Settled {
        let outputs = self.outputs();
        self.cached += std::mem::take(&mut self.planned);
        if outputs == 0 {
            return Settled::GoesOn;
        }
        let guesses = self.tokens.split_off(self.tokens.len() + 1 - outputs);
        let mut right = 0;
        for (index, logits) in rows.take(outputs).enumerate() {
            let token = self.answer.advance(logits);
            let next = token.as_ref().ok().filter(|token| token.finish.is_none()).map(|token| token.id);
            deliver(token);
            if next.is_none() {
                return Settled::Ended;
            }
            if guesses.get(index).copied() != next {
                break;
            }
            right += 1;
        }
        self.cached += right;
        self.guessed += guesses.len();
        self.right += right;
        if let Some(lookup) = &mut self.lookup {
            lookup.learn(guesses.len(), right, self.answer.tokens().len());
        }
        if right < guesses.len()
            && let Err(error) = model.truncate(self.sequence, self.cached)
        {
            deliver(Err(error.into()));
            return Settled::Ended;
        }
        Settled::GoesOn
    }

    /// Computes everything up to the end of the plan again, alone, in a new sequence and without guesses; returns
    /// the row of logits, if the plan gives one. The old sequence is closed.
    ///
    /// # Errors
    /// As [`LanguageModel::step`].
    pub fn recompute<M: LanguageModel<Sequence = S>>(
        &mut self,
        model: &mut M,
        prefill_tokens: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let planned = self.cached + self.planned;
        model.close(self.sequence);
        self.reopen(model);
        let end = planned.max(self.cached + 1);
        loop {
            self.plan(prefill_tokens.min(end.saturating_sub(self.cached)));
            let logits = model.step(&[self.part()])?;
            if self.cached + self.planned >= end {
                return Ok(logits);
            }
            self.cached += self.planned;
        }
    }

    /// The answer without its sequence, which the caller closes.
    pub fn into_answer(self) -> AnswerState {
        self.answer
    }
}
