//! Counts of a scheduler's work.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// Requests that wait, now.
    pub waiting: usize,
    /// Requests that are computed, now.
    pub running: usize,
    /// Blocks of the key/value cache that are free, now. Those that are kept for requests which may begin alike
    /// count as free.
    pub free_blocks: usize,
    /// Blocks of the key/value cache.
    pub blocks: usize,
    /// Positions of a block.
    pub block_len: usize,
}

/// The counts as the model's thread keeps them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    steps: AtomicU64,
    prompt_tokens: AtomicU64,
    reused_tokens: AtomicU64,
    guessed_tokens: AtomicU64,
    right_guesses: AtomicU64,
    /// Requests in the queue that the model's thread has not taken yet.
    queued: AtomicUsize,
    waiting: AtomicUsize,
    running: AtomicUsize,
    free_blocks: AtomicUsize,
    blocks: usize,
    block_len: usize,
}

impl Counters {
    /// Counts of a model whose cache has that many blocks of that many positions, all of them free.
    pub fn new(blocks: usize, block_len: usize) -> Self {
        Self { free_blocks: blocks.into(), blocks, block_len, ..Self::default() }
    }

    pub fn enqueue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes how things stand between two steps.
    pub fn stand(&self, waiting: usize, running: usize, free_blocks: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.running.store(running, Ordering::Relaxed);
        self.free_blocks.store(free_blocks, Ordering::Relaxed);
    }

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
        let now = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Stats {
            steps: of(&self.steps),
            prompt_tokens: of(&self.prompt_tokens),
            reused_tokens: of(&self.reused_tokens),
            guessed_tokens: of(&self.guessed_tokens),
            right_guesses: of(&self.right_guesses),
            waiting: now(&self.queued) + now(&self.waiting),
            running: now(&self.running),
            free_blocks: now(&self.free_blocks),
            blocks: self.blocks,
            block_len: self.block_len,
        }
    }
}
