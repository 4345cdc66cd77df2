//! Questions with the documents that answer them, in BEIR's form (Thakur et al. 2021, arXiv:2104.08663).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::cli::Half;

/// A question and what answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// The documents that answer it, each with how well.
    pub gains: HashMap<String, f64>,
}

/// A line of the file of questions.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "_id", alias = "id")]
    id: String,
    text: String,
    #[serde(default)]
    documents: Vec<String>,
    #[serde(default)]
    held_out: bool,
}

/// Reads the questions of `file` with their judgements: those in `qrels`, else those in `qrels.tsv`
/// beside it, and in either case the `documents` of a line.
///
/// # Errors
/// If a file cannot be read, a line is not a question or judgement, or no question has a document.
pub fn read(file: &Path, qrels: Option<&Path>, only: Option<Half>) -> anyhow::Result<Vec<Question>> {
    let beside = file.with_file_name("qrels.tsv");
    let qrels: Option<PathBuf> = qrels.map(Path::to_path_buf).or_else(|| beside.exists().then_some(beside));
    let mut judged = match &qrels {
        Some(path) => judgements(path)?,
        None => HashMap::new(),
    };
    let mut questions = Vec::new();
    for (number, line) in read_text(file)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{}, line {}", file.display(), number + 1);
        let Line { id, text, documents, held_out } = serde_json::from_str(line).with_context(place)?;
        if only.is_some_and(|half| held_out != (half == Half::HeldOut)) {
            continue;
        }
        let mut gains = judged.remove(&id).unwrap_or_default();
        gains.extend(documents.into_iter().map(|document| (document, 1.0)));
        if gains.values().any(|gain| *gain > 0.0) {
            questions.push(Question { text, gains });
        }
    }
    ensure!(
        !questions.is_empty(),
        "{}: no question has a document; give `documents` in its lines, or --qrels",
        file.display()
    );
    Ok(questions)
}

/// The gain of each document, by question.
fn judgements(path: &Path) -> anyhow::Result<HashMap<String, HashMap<String, f64>>> {
    let mut judged: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for (number, line) in read_text(path)?.lines().enumerate().skip(1) {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let place = format!("{}, line {}", path.display(), number + 1);
        let &[question, document, gain] = fields.as_slice() else {
            bail!("{place}: {} columns; expected query-id, corpus-id and score between tabs", fields.len());
        };
        let gain: f64 = gain.trim().parse().with_context(|| format!("{place}: score `{gain}`"))?;
        judged.entry(question.into()).or_default().insert(document.into(), gain);
    }
    Ok(judged)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTIONS: &str = "{\"_id\": \"q1\", \"text\": \"one\"}\n\n{\"_id\": \"q2\", \"text\": \"two\", \
                             \"documents\": [\"d\"], \"held_out\": true}\n{\"id\": \"q3\", \"text\": \"none\"}\n";

    fn folder(qrels: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("queries.jsonl"), QUESTIONS).unwrap();
        fs::write(folder.path().join("qrels.tsv"), qrels).unwrap();
        folder
    }

    fn texts(folder: &Path, only: Option<Half>) -> anyhow::Result<Vec<String>> {
        let questions = read(&folder.join("queries.jsonl"), None, only)?;
        Ok(questions.into_iter().map(|question| question.text).collect())
    }

    #[test]
    fn judgements_come_from_a_table_or_from_the_line() {
        let folder = folder("query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\n");
        let questions = read(&folder.path().join("queries.jsonl"), None, None).unwrap();
        assert_eq!(questions[0].gains, HashMap::from([("a".into(), 2.0), ("b".into(), 0.0)]));
        assert_eq!(questions[1].gains, HashMap::from([("d".into(), 1.0)]));
        assert_eq!(questions.len(), 2, "a question without a document is left out");
        assert_eq!(texts(folder.path(), Some(Half::HeldOut)).unwrap(), ["two"]);
        assert_eq!(texts(folder.path(), Some(Half::Chosen)).unwrap(), ["one"]);
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let message = |qrels: &str, only| format!("{:#}", texts(folder(qrels).path(), only).unwrap_err());
        assert!(message("h\nq1\ta\n", None).contains("qrels.tsv, line 2: 2 columns"));
        assert!(message("h\nq1\ta\tmany\n", None).contains("qrels.tsv, line 2: score `many`"));
        assert!(message("h\n", Some(Half::Chosen)).contains("queries.jsonl: no question has a document"));
        let missing = read(Path::new("/no/such.jsonl"), None, None).unwrap_err();
        assert!(format!("{missing:#}").starts_with("/no/such.jsonl: "));
    }
}
