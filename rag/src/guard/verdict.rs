//! What the guard says of a sentence.

use std::ops::Range;

/// A sentence of an answer with what the guard found.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Where the sentence lies in the answer, in bytes, with its citations.
    pub range: Range<usize>,
    /// Whether it may be sent.
    pub verdict: Verdict,
    /// The part of a passage that supports it best, if any has a word or figure of it.
    pub support: Option<Support>,
    /// The passages it cites, from 1, as `[1]`.
    pub cited: Vec<usize>,
    /// Whether it cites only passages that there are, and one of them supports it; `None` if it cites none.
    pub citation_holds: Option<bool>,
}

/// Whether a sentence may be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The passages say it.
    Supported,
    /// It claims nothing: a greeting, a question, an offer to help, the admission that the passages do
    /// not say.
    Neutral,
    /// The passages do not say it.
    Unsupported(Fault),
}

/// Why a sentence is not supported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fault {
    /// Figures of the sentence that stand neither in one passage with its words nor in the question, in
    /// bytes of the answer.
    pub figures: Vec<Range<usize>>,
    /// Figures that stand in a passage, but in another place than what the sentence says of them.
    pub misplaced: Vec<Range<usize>>,
    /// Names that stand nowhere: it speaks of somebody else.
    pub names: Vec<Range<usize>>,
    /// Share of its words that stand in the best place, in `[0, 1]`; rare words count more.
    pub words: f32,
    /// Whether the best place says the opposite.
    pub contradicts: bool,
}

/// A part of a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Support {
    /// Which passage, from 0.
    pub passage: usize,
    /// Where in the passage, in bytes: one unit, or neighbouring ones.
    pub range: Range<usize>,
    /// Share of the sentence's words that stand there, in `[0, 1]`.
    pub words: f32,
}

impl Checked {
    /// Whether the passages say it.
    pub fn is_supported(&self) -> bool {
        matches!(self.verdict, Verdict::Supported)
    }

    /// Whether the sentence may be sent.
    pub fn passes(&self) -> bool {
        !matches!(self.verdict, Verdict::Unsupported(_))
    }
}

impl Fault {
    /// The same for a sentence that begins `by` bytes later.
    pub(super) fn moved(mut self, by: usize) -> Self {
        for range in self.figures.iter_mut().chain(&mut self.misplaced).chain(&mut self.names) {
            *range = range.start + by..range.end + by;
        }
        self
    }
}
