//! Counts of a scheduler's work.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the scheduler started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Steps of the model.
    pub steps: u64,
    /// Tokens of prompts whose answers were begun, or begun again after they were set back.
    pub prompt_tokens: u64,
    /// Those of them that were not computed again, because another request began alike.
    pub reused_tokens: u64,
    /// Tokens that were guessed and checked.
    pub guessed_tokens: u64,
    /// Guesses that were right: tokens that took no step of their own.
    pub right_guesses: u64,
}

/// The counts as the model's thread keeps them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    steps: AtomicU64,
    prompt_tokens: AtomicU64,
    reused_tokens: AtomicU64,
    guessed_tokens: AtomicU64,
    right_guesses: AtomicU64,
}

impl Counters {
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn begin(&self, prompt_tokens: usize, reused_tokens: usize) {
        self.prompt_tokens.fetch_add(prompt_tokens as u64, Ordering::Relaxed);
        self.reused_tokens.fetch_add(reused_tokens as u64, Ordering::Relaxed);
    }

    pub fn guesses(&self, guessed: usize, right: usize) {
        self.guessed_tokens.fetch_add(guessed as u64, Ordering::Relaxed);
        self.right_guesses.fetch_add(right as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> Stats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            steps: of(&self.steps),
            prompt_tokens: of(&self.prompt_tokens),
            reused_tokens: of(&self.reused_tokens),
            guessed_tokens: of(&self.guessed_tokens),
            right_guesses: of(&self.right_guesses),
        }
    }
}
