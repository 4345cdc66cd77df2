//! Product and error codes, model numbers, versions.

use super::Figure;
use super::cursor::Cursor;
use super::measure;

/// The code at `cursor`: letters and digits in one run, also joined by hyphens, or digits with two points or
/// with a colon (`16:9`), unless that is a time.
pub(super) fn code(cursor: Cursor) -> Option<(usize, Figure)> {
    let before = cursor.text[..cursor.at].chars().next_back();
    if before.is_some_and(char::is_alphanumeric) || !cursor.peek()?.is_alphanumeric() {
        return None;
    }
    let run = run(cursor.rest());
    let end = cursor.at + run.len();
    let has_digit = run.contains(|c: char| c.is_numeric());
    let has_letter = run.contains(char::is_alphabetic);
    let is_foreign = run.contains(|c: char| c.is_numeric() && !c.is_ascii_digit() && !is_fraction(c));
    let is_version = run.matches('.').count() >= 2 || run.contains(':');
    if !has_digit || !(has_letter || is_version || is_foreign) {
        return None;
    }
    if !is_foreign && is_amount(run) {
        return None;
    }
    Some((end, Figure::Code(normal(run))))
}

fn is_fraction(character: char) -> bool {
    matches!(character, '½' | '¼' | '¾')
}

/// Letters and digits with the hyphens, underscores, points and colons between them; the latter two only
/// between digits.
fn run(rest: &str) -> &str {
    let mut before = ' ';
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let after = characters.peek().map_or(' ', |(_, after)| *after);
        let joins = match character {
            '-' | '_' | '\u{2010}' | '\u{2011}' => before.is_alphanumeric() && after.is_alphanumeric(),
            '.' | ':' => before.is_ascii_digit() && after.is_ascii_digit(),
            other => other.is_alphanumeric(),
        };
        if !joins {
            return &rest[..at];
        }
        before = character;
    }
    rest
}

/// Whether a run is a number with what it counts (`5kg`, `30-day`, `350p`), or words and a number apart
/// (`2026-spring`).
fn is_amount(run: &str) -> bool {
    let number =
        run.len() - run.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || is_fraction(c)).len();
    let (number, rest) = run.split_at(number);
    if number.is_empty() {
        return false;
    }
    let cursor = Cursor { text: rest, at: 0 };
    let is_attached = |measure: &mut Cursor| measure::after(measure).is_some() && measure.rest().is_empty();
    let words = rest.trim_start_matches(['-', '\u{2010}', '\u{2011}']);
    let is_word = words.chars().all(|c| c.is_lowercase() || c == '-') && words.len() < rest.len();
    let is_money = measure::currency_after(cursor).is_some_and(|(end, ..)| end == rest.len());
    is_word || is_money || is_attached(&mut { cursor }) || matches!(rest, "x" | "k")
}

/// A code in lower case without separators, but for the points of a version.
fn normal(run: &str) -> String {
    let kept = run.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | ':'));
    let code: String = kept.flat_map(char::to_lowercase).collect();
    match code.strip_prefix('v') {
        Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.') => {
            version.into()
        }
        _ => code,
    }
}
