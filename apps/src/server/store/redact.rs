//! Redaction: e-mail addresses, phone, card and account numbers are replaced before anything is stored.
//!
//! What stands in an article is no secret: the values of the passages that an answer rests on are kept, so that a
//! support team's own phone number stays readable. Prices, dates, versions and order numbers stay too.

mod iban;
mod number;
#[cfg(test)]
mod tests;

use std::ops::Range;

use regex::Regex;
use serde_json::Value;

use number::Numbers;

/// Replaces personal values in texts.
pub struct Redactor {
    email: Option<Regex>,
    numbers: Option<Numbers>,
}

/// What is replaced, and by what.
struct Found {
    range: Range<usize>,
    label: &'static str,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new()
    }
}

impl Redactor {
    /// A redactor.
    pub fn new() -> Self {
        let email = r"[\p{L}\p{N}._%+'\-]+@(?:[\p{L}\p{N}](?:[\p{L}\p{N}\-]*[\p{L}\p{N}])?\.)+\p{L}{2,}";
        Self { email: Regex::new(email).ok(), numbers: Numbers::new() }
    }

    /// `text` with `[email]`, `[phone]`, `[card]` and `[account]` in place of such values, but for those that stand
    /// in one of the `kept` texts.
    pub fn redact(&self, text: &str, kept: &[&str]) -> String {
        let mut found: Vec<Found> = Vec::new();
        if text.contains('@')
            && let Some(email) = &self.email
        {
            found.extend(email.find_iter(text).map(|hit| Found { range: hit.range(), label: "[email]" }));
        }
        if text.bytes().filter(u8::is_ascii_digit).count() >= number::FEWEST_DIGITS {
            let mut add = |more: Vec<Found>| {
                for hit in more {
                    let is_free = |other: &Found| {
                        hit.range.end <= other.range.start || other.range.end <= hit.range.start
                    };
                    if found.iter().all(is_free) {
                        found.push(hit);
                    }
                }
            };
            add(iban::find(text));
            if let Some(numbers) = &self.numbers {
                add(numbers.find(text));
            }
        }
        found.retain(|hit| !stands_in(&text[hit.range.clone()], hit.label, kept));
        found.sort_by_key(|hit| hit.range.start);
        let (mut redacted, mut end) = (String::with_capacity(text.len()), 0);
        for hit in found {
            redacted.push_str(&text[end..hit.range.start]);
            redacted.push_str(hit.label);
            end = hit.range.end;
        }
        redacted + &text[end..]
    }

    /// Redacts every string of a value, the names of fields included.
    pub fn redact_json(&self, value: &mut Value, kept: &[&str]) {
        match value {
            Value::String(text) => *text = self.redact(text, kept),
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact_json(value, kept)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.redact_json(&mut value, kept);
                        (self.redact(&name, kept), value)
                    })
                    .collect();
            }
            // A card number may come as a JSON number.
            Value::Number(number) => {
                let text = number.to_string();
                let redacted = self.redact(&text, kept);
                if redacted != text {
                    *value = Value::String(redacted);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// Whether a value stands in one of the texts, however its digits are grouped there.
fn stands_in(value: &str, label: &str, texts: &[&str]) -> bool {
    if label == "[email]" {
        let value = value.to_lowercase();
        return texts.iter().any(|text| text.to_lowercase().contains(&value));
    }
    let value = digits(value);
    texts.iter().any(|text| runs(text).any(|run| run.contains(&value)))
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The numbers of a text, each as its digits: a number goes on over a few separators.
fn runs(text: &str) -> impl Iterator<Item = String> {
    let separators = [' ', '\u{a0}', '.', '/', '(', ')', '-', '\u{2013}', '\u{2011}', '+'];
    text.split(move |c: char| !c.is_ascii_digit() && !separators.contains(&c)).map(digits)
}
