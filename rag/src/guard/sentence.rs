//! Sentences of an answer, which may still be growing.
//!
//! The terminators are those of UAX 29, but not its rules: SB8 looks ahead over any number of digits and
//! signs and so joins "It costs £8.90. 14 days later …", it ends a sentence at every abbreviation, and its
//! unlimited look-ahead does not suit a stream. Here the end of a sentence is decided by the word before the
//! full stop and at most one word after it.

use std::ops::Range;

/// Abbreviations that never end a sentence, in lower case and without their last full stop.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "cf", "approx", "e.g", "i.e", "incl", "excl", "viz", "dept",
    "hr", "fr", "z.b", "d.h", "u.a", "o.ä", "v.a", "z.t", "i.d.r", "s.o", "s.u", "bzw", "ggf", "inkl",
    "zzgl", "exkl", "evtl", "ca", "sog", "vgl", "mind", "max", "min", "abzgl", "sr", "sra", "srta", "ud",
    "uds", "ej", "p.ej", "aprox", "mme", "mlle", "env", "c.-à-d", "av",
];

/// Abbreviations before a number; before anything else they may end a sentence ("No. We do not.").
const BEFORE_NUMBERS: &[&str] = &[
    "no", "nos", "nr", "art", "abs", "s", "p", "pp", "vol", "fig", "sec", "ch", "núm", "num", "n.º", "tel",
    "ext", "kap", "§", "rs", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov",
    "dec",
];

/// Words before a German ordinal ("am 3. Tag").
const BEFORE_ORDINALS: &[&str] = &[
    "am", "im", "der", "die", "das", "dem", "den", "des", "zum", "zur", "vom", "bis", "ab", "seit", "jeder",
    "jeden", "jedes", "beim", "ihr", "ihre", "ihrem", "ihren", "unser", "unsere", "unserem",
];

/// Words after a time of day or an ordinal that continue it: months, days, time zones.
const AFTER_TIMES: &[&str] = &[
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "jänner",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "gmt",
    "utc",
    "bst",
    "cet",
    "cest",
    "est",
    "edt",
    "pst",
    "pdt",
    "uhr",
];

/// The sentences of `text`, an answer, as ranges of bytes: without the white space between them, and each
/// with the citations (`[1]`) that follow it. A line break ends a sentence unless a lower-case letter
/// follows; so a list item, a heading and a row of a table are sentences of their own.
///
/// ```
/// let text = "It costs approx. £8.90. [1] Ask Mr. Hill by 9 a.m. on Friday!";
/// let found: Vec<&str> = rag::guard::sentences(text).into_iter().map(|range| &text[range]).collect();
/// assert_eq!(found, ["It costs approx. £8.90. [1]", "Ask Mr. Hill by 9 a.m. on Friday!"]);
/// ```
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    while let Some(range) = next_sentence(text, found.last().map_or(0, |last| last.end), true) {
        found.push(range);
    }
    found
}

/// The first sentence of `text` at or after byte `from`. `None` if there is none or, where `text` may
/// still grow (`is_whole` is false), if what follows could still change where it ends.
pub(super) fn next_sentence(text: &str, from: usize, is_whole: bool) -> Option<Range<usize>> {
    let start = from + text.get(from..)?.find(|c: char| !c.is_whitespace())?;
    let mut at = start;
    while let Some(character) = text[at..].chars().next() {
        let end = match character {
            '\n' => line_end(text, at, is_whole),
            other if is_terminator(other) => ending(text, start, at, is_whole),
            other => End::Not(at + other.len_utf8()),
        };
        match end {
            End::Here(end) => return Some(start..start + text[start..end].trim_end().len()),
            End::Not(resume) => at = resume,
            End::Unknown => return None,
        }
    }
    is_whole.then(|| start..text.trim_end().len())
}

/// Whether a sentence ends at some place.
enum End {
    /// It does, at this byte.
    Here(usize),
    /// It does not; the search goes on at this byte.
    Not(usize),
    /// That depends on text still to come.
    Unknown,
}

fn line_end(text: &str, at: usize, is_whole: bool) -> End {
    let rest = &text[at..];
    let gap = rest.len() - rest.trim_start().len();
    match rest[gap..].chars().next() {
        _ if rest[..gap].matches('\n').count() > 1 => End::Here(at),
        Some(next) if next.is_lowercase() => End::Not(at + gap),
        None if !is_whole => End::Unknown,
        _ => End::Here(at),
    }
}

/// Whether the terminator at byte `at` ends the sentence that starts at byte `start`.
fn ending(text: &str, start: usize, at: usize, is_whole: bool) -> End {
    let run = at + length(&text[at..], is_terminator);
    let mut end = run + length(&text[run..], is_closer);
    let is_closed = end > run;
    let is_wide = text[at..run].chars().any(|c| matches!(c, '。' | '！' | '？' | '．' | '｡'));
    let mut is_apart = is_wide;
    loop {
        let gap = length(&text[end..], |c| c.is_whitespace() && c != '\n');
        let next = &text[end + gap..];
        match citation(next) {
            Citation::Of(bytes) => {
                end += gap + bytes;
                end += length(&text[end..], |c| is_terminator(c) || is_closer(c));
                is_apart = true;
                continue;
            }
            Citation::Begun if !is_whole => return End::Unknown,
            _ => {}
        }
        let Some(first) = next.chars().next() else {
            return if is_whole { End::Here(end) } else { End::Unknown };
        };
        if first == '\n' {
            return End::Here(end);
        }
        if gap == 0 && !is_apart {
            return End::Not(run);
        }
        let mark = &text[at..run];
        let ends = match mark {
            _ if is_wide => Some(true),
            _ if first.is_lowercase() => Some(!mark.contains(['.', '…']) && !is_closed),
            "." => full_stop_ends(&text[start..at], next, is_whole),
            _ => Some(true),
        };
        return match ends {
            Some(true) => End::Here(end),
            Some(false) => End::Not(run),
            None => End::Unknown,
        };
    }
}

/// Whether a full stop between `before` and `next` (which does not begin with a lower-case letter) ends a
/// sentence; `None` if the rest of the next word decides.
fn full_stop_ends(before: &str, next: &str, is_whole: bool) -> Option<bool> {
    let is_apart = |c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“' | '„' | '«' | '*' | '_' | '[');
    let word = before.rsplit(is_apart).next().unwrap_or_default();
    let earlier = before[..before.len() - word.len()].trim_end_matches(is_apart);
    let previous = earlier.rsplit(is_apart).next().unwrap_or_default();
    let is_marker = |text: &str| text.chars().all(|c| matches!(c, '-' | '*' | '•' | '#' | '>' | '|'));
    let is_first = is_marker(earlier);
    let lower = word.to_lowercase();
    let follows_time = || {
        let length = length(next, char::is_alphabetic);
        if length == next.len() && !is_whole {
            return None;
        }
        Some(AFTER_TIMES.contains(&next[..length].to_lowercase().as_str()))
    };

    if !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) {
        let is_ordinal = word.len() <= 2
            && (follows_time()? || BEFORE_ORDINALS.contains(&previous.to_lowercase().as_str()));
        return Some(!(is_first && word.len() <= 3 || is_ordinal));
    }
    if matches!(lower.as_str(), "a.m" | "p.m") || lower == "m" && matches!(previous, "a." | "p.") {
        return follows_time().map(|follows| !follows);
    }
    if ABBREVIATIONS.contains(&lower.as_str()) {
        // "min." and "max." are units and ends of sentences after a number.
        return Some(previous.ends_with(|c: char| c.is_ascii_digit()));
    }
    let is_number = next.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('));
    if is_number && BEFORE_NUMBERS.contains(&lower.as_str()) {
        return Some(false);
    }
    let mut letters = word.chars();
    if let (Some(letter), None) = (letters.next(), letters.next())
        && letter.is_alphabetic()
    {
        let is_unit = previous.ends_with(|c: char| c.is_ascii_digit());
        let is_name = is_first || previous.starts_with(char::is_uppercase) || previous.ends_with('.');
        return Some(is_unit || letter.is_uppercase() && !is_name);
    }
    Some(true)
}

/// What text begins with, as a citation.
enum Citation {
    /// A whole one, of so many bytes.
    Of(usize),
    /// What could become one.
    Begun,
    No,
}

fn citation(text: &str) -> Citation {
    let Some(inside) = text.strip_prefix('[') else { return Citation::No };
    let bytes = length(inside, |c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '–'));
    match inside[bytes..].chars().next() {
        Some(']') if inside.starts_with(|c: char| c.is_ascii_digit()) => Citation::Of(bytes + 2),
        None => Citation::Begun,
        _ => Citation::No,
    }
}

/// Bytes at the start of `text` whose characters are all `of` a kind.
fn length(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

fn is_terminator(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '‽' | '؟' | '۔' | '।' | '॥' | '。' | '！' | '？' | '．' | '｡')
}

fn is_closer(character: char) -> bool {
    matches!(
        character,
        ')' | ']' | '"' | '\'' | '”' | '“' | '’' | '»' | '›' | '*' | '_' | '`' | '」' | '』' | '）'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        for whole in [
            "Ask Mr. Hill or Dr. Ott.",
            "Bring approx. 5 items, e.g. Shirts.",
            "Wir liefern z. B. Lampen, d. h. Leuchten bzw. Strahler.",
            "Order No. 5 costs 3.50 at example.com/a.b today.",
            "Open from 9 a.m. Monday to Friday.",
            "Wir öffnen am 3. Mai und im 2. Stock.",
            "Well... we do… not know.",
            "1. Open the app",
            "“Why?” he asked.",
            "Pregunte al Sr. Díaz, p. ej. Mañana.",
            "See J. Smith and John F. Kennedy.",
            "It takes 5 days. [1] [2]",
            "It takes 5 days [1].",
            "a line that\ngoes on",
        ] {
            assert_eq!(said(whole), [whole]);
        }
        for parts in [
            &["It costs £8.90.", "14 days later it does not."][..],
            &["No.", "We do not."],
            &["Come at 9 a.m.", "The door is open."],
            &["Es dauert 5 min.", "Danach ist es fertig."],
            &["It takes 5 days.[1]", "Then [2], not before."],
            &["Choose plan B.", "Then wait."],
            &["He said “No.”", "She left!", "Why?", "yes"],
            &["**Hot.**", "Do not touch (really.)", "Ever."],
            &["返品は三十日以内です。", "ありがとう。"],
            &["Abierto a las 9 a. m.", "El martes no."],
            &["Really?!", "Yes…", "Of course."],
        ] {
            assert_eq!(said(&parts.join(" ")), parts);
        }
        assert_eq!(
            said("You need:\n- a card\n2. A pen. Ink.\n\nBye"),
            ["You need:", "- a card", "2. A pen.", "Ink.", "Bye"]
        );
        assert_eq!(said(" \n"), [""; 0]);
    }

    #[test]
    fn a_growing_text_never_changes_a_sentence_that_was_given() {
        let text =
            "Ask Mr. Hill by 9 a.m. Monday. [1][2] It costs 3.50. Am 3. Mai?! “No.” ok\n- a\n\nThe end. ";
        let whole = sentences(text);
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let mut at = 0;
            for range in &whole {
                let Some(found) = next_sentence(&text[..end], at, false) else { break };
                assert_eq!(&found, range, "{:?}", &text[..end]);
                at = found.end;
            }
        }
        assert_eq!(next_sentence("It does. S", 0, false), Some(0..8));
    }
}
