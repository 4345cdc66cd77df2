//! A document's text without what is not read, and where each part of it stood.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::blob;
use crate::Format;

/// Text without blobs and without markup that is not shown.
pub(super) struct Clean<'a> {
    pub text: Cow<'a, str>,
    /// Where something was taken out of the text, and how many bytes had been up to there, it included.
    taken: Vec<(usize, usize)>,
}

impl<'a> Clean<'a> {
    pub fn new(text: &'a str, format: Format) -> Self {
        let mut ranges = blob::find(text);
        if format == Format::Markdown {
            ranges.extend(invisible(text));
            ranges = blob::union(ranges);
        }
        let taken = ranges.iter().scan(0, |taken, range| {
            let place = range.start - *taken;
            *taken += range.len();
            Some((place, *taken))
        });
        Clean { taken: taken.collect(), text: blob::without(text, &ranges) }
    }

    /// Where `range` of the clean text stood in the document's.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let taken = |count: usize| self.taken[..count].last().map_or(0, |(_, taken)| *taken);
        let before_start = self.taken.partition_point(|(place, _)| *place <= range.start);
        let before_end = self.taken.partition_point(|(place, _)| *place < range.end);
        range.start + taken(before_start)..range.end + taken(before_end)
    }
}

/// Drawings, scripts, styles and comments, except where they are shown as code.
fn invisible(markdown: &str) -> Vec<Range<usize>> {
    const KINDS: [(&str, &str); 4] =
        [("<svg", "</svg>"), ("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->")];
    let mut found = Vec::new();
    for (opening, closing) in KINDS {
        let mut from = 0;
        while let Some(start) = markdown.get(from..).and_then(|rest| rest.find(opening)).map(|at| from + at) {
            let Some(length) = markdown[start..].find(closing) else { break };
            from = start + length + closing.len();
            found.push(start..from);
        }
    }
    if !found.is_empty() {
        let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter();
        let is_code = |event: &Event| matches!(event, Event::Code(_) | Event::Start(Tag::CodeBlock(_)));
        let mut code: Vec<_> = events.filter(|(event, _)| is_code(event)).map(|(_, range)| range).collect();
        code = blob::union(code);
        found.retain(|range| {
            let before = code.partition_point(|code| code.end <= range.start);
            code.get(before).is_none_or(|code| code.start > range.start)
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lead_back_to_the_document() {
        let text = "One <!-- hidden --> two ![x](data:image/png;base64,AAAA) three `<!-- shown -->`.";
        let clean = Clean::new(text, Format::Markdown);
        assert_eq!(clean.text, "One  two ![x]() three `<!-- shown -->`.");
        for word in ["One", "two", "![x](", ") three", "shown"] {
            let at = clean.text.find(word).unwrap();
            assert_eq!(&text[clean.original(at..at + word.len())], word);
        }
        assert_eq!(clean.original(0..clean.text.len()), 0..text.len());
        assert_eq!(Clean::new(text, Format::Plain).text.matches("<!--").count(), 2);
    }

    #[test]
    fn markup_that_is_never_closed_stays() {
        for text in ["a <!-- b", "a <svg b", "</svg> a <svg"] {
            assert_eq!(Clean::new(text, Format::Markdown).text, text);
        }
    }
}
