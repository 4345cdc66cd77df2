//! Figures of a text in a normal form: what a grounded answer may not invent.

mod calendar;
mod code;
mod contact;
mod cursor;
mod measure;
mod name;
mod number;
mod spelt;

use std::ops::Range;

use cursor::Cursor;
pub use measure::Measure;
pub(super) use measure::measures;
pub(super) use name::{normal as normal_name, open as open_name};

/// A number, date, time, code, address or quoted name, however it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Figure {
    /// An amount: `1,200`, `£3.50`, `20 %`, `two days`.
    Number {
        /// What it can mean, without separators and needless zeros: `1.200` is `1200` and `1.2` where the
        /// text's decimal mark is not known.
        readings: Vec<String>,
        /// What it counts.
        measure: Option<Measure>,
    },
    /// `3rd`, `third`.
    Ordinal(u32),
    /// A time of day.
    Time {
        /// Minutes after midnight.
        minute: u16,
        /// Whether it cannot mean twelve hours later: `2 pm`, `14:00`, `02:00`, but not `2:00`.
        is_clear: bool,
    },
    /// A date, or a month of a year.
    Date {
        /// The year, of four digits.
        year: Option<u16>,
        /// The month, from 1.
        month: u8,
        /// The day of the month, from 1.
        day: Option<u8>,
        /// Whether day and month can be read the other way round: `03/05/2026`.
        is_swappable: bool,
    },
    /// A phone, card or order number: its digits, after its `+`.
    Digits(String),
    /// A code, version or ratio, in lower case and without separators: `err4011`, `2.1.3`, `16:9`.
    Code(String),
    /// A web address without its scheme and `www.`, in lower case.
    Url(String),
    /// An e-mail address in lower case.
    Email(String),
    /// A name in quotation marks, bold or code letters: its words in lower case.
    Name(String),
}

/// The decimal mark that a text uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    Unknown,
    Point,
    Comma,
}

impl Figure {
    /// Whether a text that has `source` supports this figure: their normal forms are the same, or `source`
    /// says more. Measures are compared where both have one. A name stands only in words, never here.
    pub fn stands_for(&self, source: &Figure) -> bool {
        use Figure::{Code, Date, Digits, Email, Number, Ordinal, Time, Url};
        match (self, source) {
            (Number { readings, measure }, Number { readings: known, measure: other }) => {
                let agree = match (measure, other) {
                    (Some(measure), Some(other)) => measure.agrees(*other),
                    _ => true,
                };
                agree && readings.iter().any(|reading| known.contains(reading))
            }
            (Number { readings, measure: None }, other) => {
                let is = |value: u32| readings.iter().any(|reading| *reading == value.to_string());
                match other {
                    Ordinal(value) => is(*value),
                    Time { minute, .. } => minute % 60 == 0 && is(u32::from(minute / 60)),
                    Date { year, day, .. } => {
                        year.is_some_and(|year| is(year.into())) || day.is_some_and(|day| is(day.into()))
                    }
                    Digits(digits) => readings.contains(digits),
                    _ => false,
                }
            }
            (Ordinal(value), Number { readings, .. }) => readings.contains(&value.to_string()),
            (Ordinal(value), Date { day: Some(day), .. }) => *value == u32::from(*day),
            (Time { minute, is_clear }, Time { minute: known, .. }) => {
                minute == known || !is_clear && (minute + 720) % 1440 == *known
            }
            (
                Date { year, month, day, is_swappable },
                Date { year: y, month: m, day: d, is_swappable: s },
            ) => {
                let same = day.is_none() || (month, day) == (m, d);
                let swapped = (*is_swappable || *s) && (Some(*month), *day) == (*d, Some(*m));
                (same && month == m || swapped) && (year.is_none() || year == y)
            }
            (Url(url), Url(known)) => {
                url == known || known.strip_prefix(url.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            (Url(url), Email(known)) => known.split('@').nth(1) == Some(url.as_str()),
            (Email(_), Email(_)) | (Code(_), Code(_)) | (Digits(_), Digits(_)) | (Ordinal(_), Ordinal(_)) => {
                self == source
            }
            _ => false,
        }
    }

    /// Whether both answer the same sort of question: two prices, two durations, two times.
    pub(super) fn is_like(&self, other: &Figure) -> bool {
        match (self, other) {
            (Figure::Number { measure, .. }, Figure::Number { measure: known, .. }) => match (measure, known)
            {
                (Some(measure), Some(known)) => measure.is_like(*known),
                (measure, known) => measure == known,
            },
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// The figures of `text`, in its order, with where they stand. Numbers of list items (`1.` where a line
/// begins) and citations (`[1]`) are none.
///
/// ```
/// use rag::guard::{Figure, figures};
/// let text = "[1] Arrives by 2 pm.";
/// let found = figures(text);
/// assert_eq!((&text[found[0].0.clone()], &found[0].1), ("2 pm", &Figure::Time { minute: 840, is_clear: true }));
/// ```
pub fn figures(text: &str) -> Vec<(Range<usize>, Figure)> {
    read(text, Marks::Unknown)
}

/// The figures of a text whose decimal mark is `marks`.
pub(super) fn read(text: &str, marks: Marks) -> Vec<(Range<usize>, Figure)> {
    let mut found = Vec::new();
    let mut cursor = Cursor { text, at: 0 };
    while let Some(character) = cursor.peek() {
        if let Some(end) = ignored(cursor) {
            cursor.at = end;
        } else if let Some((end, figure)) = figure_at(cursor, marks) {
            found.push((cursor.at..end, figure));
            cursor.at = end;
        } else if character.is_alphanumeric() {
            let start = cursor.at;
            let run = cursor.take(char::is_alphanumeric);
            // What follows a figure without a gap (`$0A0`) is read by none of the rules; its digits count.
            if run.contains(char::is_numeric) {
                found.push((start..cursor.at, Figure::Code(run.to_lowercase())));
            }
        } else {
            cursor.at += character.len_utf8();
        }
    }
    let mut names = name::names(text);
    names.retain(|(range, _)| !found.iter().any(|(at, _)| at.start < range.end && range.start < at.end));
    found.extend(names);
    found.sort_by_key(|(range, _)| range.start);
    found
}

fn figure_at(cursor: Cursor, marks: Marks) -> Option<(usize, Figure)> {
    if let Some(address) = contact::address(cursor) {
        return Some(address);
    }
    if !may_begin(cursor) {
        return None;
    }
    calendar::date(cursor)
        .or_else(|| calendar::time(cursor))
        .or_else(|| spelt::ordinal(cursor))
        .or_else(|| contact::digits(cursor))
        .or_else(|| code::code(cursor))
        .or_else(|| number::number(cursor, marks))
        .or_else(|| spelt::number(cursor))
}

/// Whether a figure other than an address can begin here. Most words are told by this alone.
fn may_begin(mut cursor: Cursor) -> bool {
    let Some(first) = cursor.peek() else { return false };
    if !first.is_alphabetic() {
        return first.is_numeric() || matches!(first, '£' | '€' | '$' | '¥' | '+' | '-' | '−' | '(');
    }
    let word = cursor.letters();
    let goes_on = |next: char| next.is_numeric() || matches!(next, '-' | '_' | '\u{2010}' | '\u{2011}');
    let lower = word.to_lowercase();
    cursor.peek().is_some_and(goes_on)
        || calendar::begins(&lower)
        || spelt::begins(&lower)
        || measure::is_code(word)
}

/// The end of a citation or of a list item's number that begins here.
fn ignored(mut cursor: Cursor) -> Option<usize> {
    if !cursor.peek().is_some_and(|first| first == '[' || first.is_ascii_digit()) {
        return None;
    }
    let starts_line = cursor.text[..cursor.at].trim_end_matches([' ', '>', '*', '_', '#']);
    let starts_line = starts_line.is_empty() || starts_line.ends_with('\n');
    if cursor.eat(&['[']) {
        let digits = cursor.take(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '–'));
        return (digits.len() <= 12 && digits.contains(|c: char| c.is_ascii_digit()) && cursor.eat(&[']']))
            .then_some(cursor.at);
    }
    let digits = cursor.digits();
    let is_marker = starts_line && (1..=2).contains(&digits.len()) && cursor.eat(&['.', ')']);
    (is_marker && cursor.peek().is_some_and(char::is_whitespace)).then_some(cursor.at)
}

#[cfg(test)]
mod tests;
