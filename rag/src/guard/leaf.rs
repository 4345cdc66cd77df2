//! The text of one paragraph, item or cell, without markup, and where its bytes come from.

use std::ops::Range;

/// Text without markup that remembers its source.
#[derive(Default)]
pub(super) struct Leaf {
    pub text: String,
    /// Where its block lies in the source.
    pub bounds: Range<usize>,
    /// Where its first line ends, if it has several.
    pub first_break: Option<usize>,
    /// Start in `text`, and the source of what begins there.
    pieces: Vec<Piece>,
    strong: usize,
    strong_bytes: usize,
}

struct Piece {
    start: usize,
    source: Range<usize>,
    /// Whether the source is the same bytes; else it is an escape, an address or the like.
    is_literal: bool,
}

impl Leaf {
    /// Begins a block that lies at `bounds`.
    pub fn start(&mut self, bounds: Range<usize>) {
        *self = Leaf { bounds, ..Leaf::default() };
    }

    pub fn start_strong(&mut self) {
        self.strong += 1;
    }

    pub fn end_strong(&mut self) {
        self.strong = self.strong.saturating_sub(1);
    }

    /// Appends `text`, which `range` of `passage` stands for.
    pub fn push(&mut self, text: &str, range: Range<usize>, passage: &str) {
        let is_literal = passage.get(range.clone()) == Some(text);
        self.pieces.push(Piece { start: self.text.len(), source: range, is_literal });
        self.text.push_str(text);
        if self.strong > 0 {
            self.strong_bytes += text.len();
        }
    }

    /// Appends the white space that a line break stands for.
    pub fn push_break(&mut self, text: &str, range: Range<usize>, passage: &str) {
        if !self.text.is_empty() {
            self.first_break.get_or_insert(self.text.len());
            self.push(text, range, passage);
        }
    }

    /// Whether it is one line, all in bold letters.
    pub fn is_strong(&self) -> bool {
        self.strong_bytes > 0 && self.first_break.is_none() && self.strong_bytes >= self.text.trim().len()
    }

    /// The source of `part` of the text, with the marks of emphasis around it.
    pub fn source(&self, part: Range<usize>, passage: &str) -> Range<usize> {
        let blank = self.text[part.clone()].len() - self.text[part.clone()].trim_start().len();
        let part = part.start + blank..part.start + self.text[part].trim_end().len();
        let holding = |at: usize| self.pieces.iter().rev().find(|piece| piece.start <= at);
        let (Some(first), Some(last)) = (holding(part.start), holding(part.end.saturating_sub(1))) else {
            return self.bounds.clone();
        };
        let mut start = first.source.start;
        if first.is_literal {
            start += part.start - first.start;
        }
        let mut end = last.source.end;
        if last.is_literal {
            end = last.source.start + part.end - last.start;
        }
        let is_mark = |byte: u8| matches!(byte, b'*' | b'_' | b'`');
        let bytes = passage.as_bytes();
        while start > self.bounds.start && bytes.get(start - 1).copied().is_some_and(is_mark) {
            start -= 1;
        }
        while end < self.bounds.end && bytes.get(end).copied().is_some_and(is_mark) {
            end += 1;
        }
        start..end.max(start)
    }
}
