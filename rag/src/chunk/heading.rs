//! The headings of Markdown, and which of them a place stands under.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A heading.
pub(super) struct Heading {
    start: usize,
    level: usize,
    text: String,
}

pub(super) fn headings(markdown: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut open: Option<Heading> = None;
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { level, .. }), _) => {
                open = Some(Heading { start: range.start, level: level as usize, text: String::new() });
            }
            (Event::End(TagEnd::Heading(_)), _) => found.extend(open.take()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.text.push_str(&text),
            (Event::SoftBreak | Event::HardBreak, Some(heading)) => heading.text.push(' '),
            _ => {}
        }
    }
    found.retain(|heading| !heading.text.trim().is_empty());
    found
}

/// The text of the first heading, which serves as the title of a document that has none.
pub(crate) fn first_heading(markdown: &str) -> Option<String> {
    headings(markdown).into_iter().next().map(|heading| heading.text)
}

/// The headings that are open at a place: each is closed by the next of its level or above.
pub(super) struct Path<'a> {
    ahead: std::iter::Peekable<std::slice::Iter<'a, Heading>>,
    open: Vec<&'a Heading>,
}

impl<'a> Path<'a> {
    pub fn new(headings: &'a [Heading]) -> Self {
        Path { ahead: headings.iter().peekable(), open: Vec::new() }
    }

    /// The headings open at byte `at`, which is not before that of the last call.
    pub fn at(&mut self, at: usize) -> Vec<String> {
        while let Some(heading) = self.ahead.next_if(|heading| heading.start <= at) {
            self.open.retain(|above| above.level < heading.level);
            self.open.push(heading);
        }
        self.open.iter().map(|heading| heading.text.clone()).collect()
    }
}
