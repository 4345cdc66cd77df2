//! Labelled messages: what a kind of message looks like.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Intent;
use crate::RagError;

/// The examples that come with the program.
const SHIPPED: &str = include_str!("../../assets/intents.jsonl");

/// Longest text of an example, in bytes: one message, not a document.
const LONGEST: usize = 500;

/// A message whose kind is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The message.
    pub text: String,
    /// Its kind.
    pub intent: Intent,
    /// The tag of its language: `en`, `de`, ….
    pub language: String,
}

/// The examples that messages are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examples {
    list: Vec<Example>,
}

impl Examples {
    /// The examples that come with the program: questions of many businesses and all other kinds, in English,
    /// German, Spanish, French, Italian, Portuguese and Dutch.
    ///
    /// # Errors
    /// Never in a program whose tests pass; a line that is no example is named.
    pub fn shipped() -> Result<Self, RagError> {
        Self::parse(SHIPPED, Path::new("intents.jsonl (shipped)"))
    }

    /// These and those of a file, one JSON object a line:
    /// `{"text": "moin moin", "intent": "greeting", "language": "de"}`. An example whose text is known already
    /// replaces the known one, so that a file can also correct.
    ///
    /// # Errors
    /// If the file cannot be read; the first line that is no example is named.
    pub fn with_file(mut self, path: &Path) -> Result<Self, RagError> {
        let text = fs::read_to_string(path).map_err(RagError::io(path))?;
        let added = Self::parse(&text, path)?;
        let replaced: std::collections::HashSet<&str> =
            added.list.iter().map(|example| example.text.as_str()).collect();
        self.list.retain(|example| !replaced.contains(example.text.as_str()));
        self.list.extend(added.list);
        Ok(self)
    }

    /// The examples, in the order in which they were read.
    pub fn list(&self) -> &[Example] {
        &self.list
    }

    fn parse(text: &str, path: &Path) -> Result<Self, RagError> {
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let wrong = |reason: String| RagError::Line { path: path.to_path_buf(), line: index + 1, reason };
            let example: Example = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if example.text.trim().is_empty() {
                return Err(wrong("`text` is empty".into()));
            }
            if example.text.len() > LONGEST {
                return Err(wrong(format!("`text` has {} bytes; at most {LONGEST}", example.text.len())));
            }
            if example.language.len() < 2
                || !example.language.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
            {
                return Err(wrong(format!("`language` is {:?}; a tag such as \"en\"", example.language)));
            }
            list.push(example);
        }
        Ok(Examples { list })
    }
}

impl FromIterator<Example> for Examples {
    fn from_iter<I: IntoIterator<Item = Example>>(list: I) -> Self {
        Examples { list: list.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_examples_suffice_in_every_language() {
        let shipped = Examples::shipped().unwrap();
        for intent in Intent::ALL.into_iter().filter(|intent| *intent != Intent::Unclear) {
            for (language, least) in
                [("en", 60), ("de", 12), ("es", 12), ("fr", 12), ("it", 12), ("pt", 12), ("nl", 12)]
            {
                let is = |example: &&Example| example.intent == intent && example.language == language;
                let count = shipped.list().iter().filter(is).count();
                assert!(count >= least, "{intent:?} in {language}: {count}");
            }
        }
    }

    #[test]
    fn a_file_adds_examples_and_corrects_shipped_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.jsonl");
        fs::write(
            &path,
            "{\"text\":\"moin moin\",\"intent\":\"greeting\",\"language\":\"de\"}\n\n\
             {\"text\":\"tell me a joke\",\"intent\":\"question\",\"language\":\"en\"}\n",
        )
        .unwrap();
        let shipped = Examples::shipped().unwrap();
        let extended = shipped.clone().with_file(&path).unwrap();
        assert_eq!(extended.list().len(), shipped.list().len() + 1);
        let jokes: Vec<&Example> =
            extended.list().iter().filter(|example| example.text == "tell me a joke").collect();
        assert!(matches!(jokes[..], [Example { intent: Intent::Question, .. }]), "{jokes:?}");
    }

    #[test]
    fn a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.jsonl");
        let good = r#"{"text":"hi","intent":"greeting","language":"en"}"#;
        for (line, reason) in [
            (r#"{"text":"hi","intent":"greating","language":"en"}"#, "greating"),
            (r#"{"text":" ","intent":"greeting","language":"en"}"#, "`text` is empty"),
            (r#"{"text":"hi","intent":"greeting","language":"??"}"#, "`language` is \"??\""),
            (r#"{"text":"hi","intent":"greeting","lang":"en"}"#, "lang"),
            ("hi", "expected value"),
        ] {
            fs::write(&path, format!("{good}\n{line}\n")).unwrap();
            let error = Examples::default().with_file(&path).unwrap_err().to_string();
            assert!(error.contains("own.jsonl, line 2: ") && error.contains(reason), "{error}");
        }
    }
}
