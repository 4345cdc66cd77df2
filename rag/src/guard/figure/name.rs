//! Names that a text quotes: buttons, menus, plans.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Figure;

/// Longest quotation in bytes that is looked for.
const LONGEST: usize = 160;

/// Opening marks with their closing ones. German closes with what English opens with, so its pair is first.
const PAIRS: [(&str, &[&str]); 8] = [
    ("„", &["“", "”"]),
    ("“", &["”"]),
    ("«", &["»"]),
    ("»", &["«"]),
    ("‹", &["›"]),
    ("**", &["**"]),
    ("`", &["`"]),
    ("\"", &["\""]),
];

/// The quoted names of `text`; a menu path (`A > B`) is one name each.
pub(super) fn names(text: &str) -> Vec<(Range<usize>, Figure)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, closers)) = opening(text, at) {
        let Some((length, closer)) = closing(&text[start..], closers) else {
            at = start;
            continue;
        };
        let inside = &text[start..start + length];
        at = start + length + closer;
        // A label before a colon is the answer's own.
        let is_label = inside.trim_end().ends_with([':', '.', '!', '?']) || text[at..].starts_with(':');
        if is_label && closer == 2 {
            continue;
        }
        let mut part_start = start;
        for part in inside.split_inclusive(['>', '→', '›']) {
            let name = normal(part);
            if name.contains(char::is_alphabetic) {
                found.push((part_start..part_start + part.len(), Figure::Name(name)));
            }
            part_start += part.len();
        }
    }
    found
}

/// The text after an opening mark that is not closed yet.
pub(in crate::guard) fn open(text: &str) -> Option<&str> {
    let mut at = 0;
    while let Some((start, closers)) = opening(text, at) {
        match closing(&text[start..], closers) {
            Some((length, closer)) => at = start + length + closer,
            None if text.len() - start <= LONGEST => return text.get(start..),
            None => at = start,
        }
    }
    None
}

/// The words of a name, in lower case.
pub(in crate::guard) fn normal(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for word in text.unicode_words() {
        if !words.is_empty() {
            words.push(' ');
        }
        let lower = word.chars().flat_map(char::to_lowercase);
        words.extend(lower.map(|c| if c == '’' { '\'' } else { c }));
    }
    words
}

fn opening(text: &str, from: usize) -> Option<(usize, &'static [&'static str])> {
    let rest = text.get(from..)?;
    let mut before = ' ';
    for (at, character) in rest.char_indices() {
        // A straight mark after a digit is that of inches.
        let is_inch = character == '"' && before.is_ascii_digit();
        before = character;
        if is_inch || !matches!(character, '„' | '“' | '«' | '»' | '‹' | '*' | '`' | '"') {
            continue;
        }
        if let Some((open, close)) = PAIRS.iter().find(|(open, _)| rest[at..].starts_with(open)) {
            return Some((from + at + open.len(), close));
        }
    }
    None
}

/// Where a quotation closes and how long the mark is; it does so within its line.
fn closing(text: &str, closers: &[&str]) -> Option<(usize, usize)> {
    let (at, length) = closers.iter().filter_map(|close| Some((text.find(close)?, close.len()))).min()?;
    (at <= LONGEST && !text[..at].contains('\n')).then_some((at, length))
}
