//! Questions with what a right answer holds, and the judgement of answers.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// What should come of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// An answer that holds what it must.
    Answer,
    /// That the articles do not say.
    Refuse,
    /// A reply to small talk.
    Talk,
    /// A person.
    Handoff,
}

/// A question and what a right answer holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerQuestion {
    /// Its name, for the transcript.
    #[serde(default)]
    pub id: String,
    /// The message.
    pub question: String,
    /// Its kind, by which results are grouped.
    #[serde(default = "any")]
    pub kind: String,
    /// The conversation before.
    #[serde(default)]
    pub history: Vec<Said>,
    /// What an answer must hold.
    #[serde(default)]
    pub must: Vec<Needle>,
    /// What an answer must not hold: figures of neighbouring lines.
    #[serde(default)]
    pub must_not: Vec<String>,
    /// Files that hold the answer, of which one must be cited. None if that does not matter.
    #[serde(default)]
    pub source: Vec<String>,
    /// Tag of the message's language, for the transcript.
    #[serde(default)]
    pub language: String,
    /// What should come of it.
    pub expect: Expect,
}

/// A message of a conversation.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    /// `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A text, or several of which one is enough.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Needle {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

fn any() -> String {
    "any".into()
}

/// Reads the questions of `file`.
///
/// # Errors
/// If it cannot be read, a line is no question, or there is none.
pub fn read(file: &Path) -> anyhow::Result<Vec<AnswerQuestion>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut questions = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{}, line {}", file.display(), number + 1);
        let question: AnswerQuestion = serde_json::from_str(line).with_context(place)?;
        let is_empty = question.expect == Expect::Answer && question.must.is_empty();
        ensure!(!is_empty, "{}: an answer is expected, and `must` does not say which", place());
        questions.push(question);
    }
    ensure!(!questions.is_empty(), "{}: no questions", file.display());
    Ok(questions)
}

impl AnswerQuestion {
    /// The customer's messages before, the oldest first.
    pub fn earlier(&self) -> Vec<&str> {
        customers_messages(&self.history)
    }

    /// Whether `answer` holds everything that it must, and nothing that it must not.
    pub fn is_right(&self, answer: &str) -> bool {
        let held = |needle: &Needle| match needle {
            Needle::One(text) => holds(answer, text),
            Needle::Any(texts) => texts.iter().any(|text| holds(answer, text)),
        };
        self.must.iter().all(held) && !self.must_not.iter().any(|text| holds(answer, text))
    }

    /// Whether `text` holds everything that the answer must.
    pub fn is_in(&self, text: &str) -> bool {
        let must = AnswerQuestion { must_not: Vec::new(), ..self.clone() };
        must.is_right(text)
    }
}

/// The customer's messages of a conversation, the oldest first.
pub fn customers_messages(history: &[Said]) -> Vec<&str> {
    let mine = history.iter().filter(|said| said.role == "user");
    mine.map(|said| said.content.as_str()).collect()
}

/// Whether `needle` stands in `text` in any case, at the bounds of words and figures: "5 days" does not stand in
/// "15 days", nor "£2" in "£2.50".
fn holds(text: &str, needle: &str) -> bool {
    let (text, needle) = (normal(text), normal(needle));
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&needle).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let mut after = text.get(at + needle.len()..).unwrap_or_default().chars();
        let (next, second) = (after.next(), after.next());
        let starts = !before.is_some_and(|c| in_word(c) || matches!(c, '.' | ','));
        let goes_on = next.is_some_and(in_word)
            || matches!(next, Some('.' | ',' | ':')) && second.is_some_and(|c| c.is_ascii_digit());
        starts && !goes_on
    })
}

fn normal(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
        .replace(['’', '‘'], "'")
        .replace(['*', '`'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_held_at_their_bounds() {
        for (text, needle, held) in [
            ("It takes 15 days.", "5 days", false),
            ("It takes 5 days.", "5 Days", true),
            ("It costs £2.50.", "£2", false),
            ("It costs £2.", "£2", true),
            ("From 9:30", "9", false),
            ("Press **Cancel  order**", "cancel order", true),
        ] {
            assert_eq!(holds(text, needle), held, "{text} {needle}");
        }
    }

    #[test]
    fn a_right_answer_has_all_and_nothing_else() {
        let line = r#"{"question": "q", "must": ["£2", ["a day", "24 hours"]], "must_not": ["£3"], "expect": "answer"}"#;
        let question: AnswerQuestion = serde_json::from_str(line).unwrap();
        assert!(question.is_right("£2 and 24 hours"));
        assert!(!question.is_right("£2") && !question.is_right("£2, £3 and a day"));
        assert!(question.is_in("£2, £3 and a day"));
    }
}
