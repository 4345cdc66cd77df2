//! Web addresses, e-mail addresses, and phone numbers and the like.

use super::Figure;
use super::cursor::Cursor;
use super::{measure, number};

/// Last parts of domains that are read as such without a scheme before them.
const TOP_LEVEL: &[&str] = &[
    "com", "org", "net", "io", "uk", "de", "es", "fr", "eu", "info", "example", "app", "shop", "store",
    "dev", "tv", "ch", "at", "it", "nl", "be", "pt", "us", "ca", "edu", "gov", "test", "invalid", "local",
    "biz", "help", "care", "online", "site", "me", "co",
];

/// Fewest and most digits of a phone or card number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=20;

/// The web or e-mail address at `cursor`.
pub(super) fn address(cursor: Cursor) -> Option<(usize, Figure)> {
    let before = cursor.text[..cursor.at].chars().next_back();
    let is_start = cursor.peek()?.is_alphanumeric();
    if !is_start || before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '@' | '.' | '/'))
    {
        return None;
    }
    let mut ahead = cursor;
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(c, '<' | '>' | '"' | '“' | '”' | '|' | ')' | ']' | '*' | '`' | '«' | '»')
    };
    let run = ahead.take(|c| !ends(c)).trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '’', '_', '…']);
    if !run.contains(['.', '@', ':']) {
        return None;
    }
    let end = cursor.at + run.len();
    let lower = run.to_lowercase();
    if let Some((name, domain)) = lower.split_once('@') {
        let is_email = !name.is_empty() && domain.contains('.') && !domain.contains(['/', '@', ',']);
        return is_email.then_some((end, Figure::Email(lower)));
    }
    let bare = ["https://", "http://", "www."]
        .iter()
        .fold(lower.as_str(), |url, prefix| url.strip_prefix(prefix).unwrap_or(url));
    let host = bare.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let has_scheme = lower.len() > bare.len();
    let last = labels.last().copied().unwrap_or_default();
    let is_host = labels.iter().all(|label| is_label(label))
        && (has_scheme
            || labels.len() > 1 && TOP_LEVEL.contains(&last) && run.get(..host.len()) == Some(host));
    is_host.then(|| (end, Figure::Url(bare.trim_end_matches('/').to_string())))
}

/// The phone number, or other long number, at `cursor`.
pub(super) fn digits(cursor: Cursor) -> Option<(usize, Figure)> {
    if cursor.text[..cursor.at].ends_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let mut ahead = cursor;
    let has_plus = ahead.eat(&['+']);
    let mut digits = String::new();
    // Where each group of digits ends, and how many digits there are up to there.
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut separators = String::new();
    ahead.eat(&['(']);
    loop {
        let group = ahead.digits();
        if group.is_empty() || digits.len() + group.len() > *DIGITS.end() {
            break;
        }
        digits.push_str(group);
        groups.push((ahead.at, digits.len()));
        let between =
            ahead.take(|c| matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '-' | '‑' | '.' | '/' | '(' | ')'));
        if between.is_empty() || between.len() > 4 {
            break;
        }
        separators.push_str(between);
    }
    // The last group may be the number of something else: "0800 123 4567 24 hours a day".
    while let Some((end, _)) = groups.last().copied() {
        let after = Cursor { at: end, ..cursor };
        let is_other = measure::currency_after(after).is_some()
            || measure::after(&mut { after }).is_some()
            || after.peek().is_some_and(char::is_alphanumeric)
            || after
                .rest()
                .strip_prefix([':', ',', '.'])
                .is_some_and(|c| c.starts_with(|c: char| c.is_ascii_digit()));
        if !is_other {
            break;
        }
        groups.pop();
    }
    let (end, count) = groups.last().copied()?;
    digits.truncate(count);
    let is_long = DIGITS.contains(&count);
    let starts_like_phone = has_plus || digits.starts_with('0') || cursor.peek() == Some('(');
    if !is_long || !starts_like_phone && !is_grouped(cursor, end, &groups) {
        return None;
    }
    Some((end, Figure::Digits(if has_plus { format!("+{digits}") } else { digits })))
}

/// Whether the groups are those of a phone or card number, not of thousands.
fn is_grouped(cursor: Cursor, end: usize, groups: &[(usize, usize)]) -> bool {
    if groups.len() == 1 {
        return true;
    }
    let is_number = number::number(cursor, super::Marks::Unknown).is_some_and(|(number, _)| number >= end);
    let written = &cursor.text[cursor.at..end];
    let is_hyphened = written.contains(['-', '‑']);
    let long = written.split(|c: char| !c.is_ascii_digit()).all(|group| group.len() >= 3);
    !is_number && (is_hyphened || long && !written.contains(['.', '/']))
}
