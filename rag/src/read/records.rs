//! Files of records: JSONL, JSON, CSV and TSV, each record a document.

use serde_json::{Map, Value};

use super::{File, Read, check_text};
use crate::RagError;
use crate::chunk::first_heading;
use crate::document::{Document, Format, Metadata};

/// Names of the fields that hold a document's text, or together make one.
const TEXT: [&str; 3] = ["text", "content", "body"];
const QUESTION: [&str; 2] = ["question", "prompt"];
const ANSWER: [&str; 3] = ["answer", "response", "completion"];

/// One object a line. Lines that are no document are skipped.
pub(super) fn json_lines(file: &File, text: &str) -> Read {
    let mut read = Read::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let record = serde_json::from_str::<Map<String, Value>>(line);
        let record = record.map_err(|error| format!("is not a JSON object: {error}"));
        read.add(file, index + 1, record);
    }
    read
}

/// A list of objects, or one. What is called a line is the number of the object.
pub(super) fn json(file: &File, text: &str) -> Result<Read, RagError> {
    let value = serde_json::from_str(text);
    let value = value.map_err(|error| RagError::file(file.path, format!("is not JSON: {error}")))?;
    let records = match value {
        Value::Array(records) => records,
        record => vec![record],
    };
    let mut read = Read::default();
    for (index, record) in records.into_iter().enumerate() {
        let record =
            if let Value::Object(record) = record { Ok(record) } else { Err("is not an object".into()) };
        read.add(file, index + 1, record);
    }
    Ok(read)
}

/// A line of names, then a record a line; between the fields commas, semicolons or tabs, whichever the
/// first line has most of.
pub(super) fn csv(file: &File, text: &str) -> Result<Read, RagError> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| first.bytes().filter(|byte| *byte == delimiter).count();
    let delimiter = b",;\t".iter().copied().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| RagError::file(file.path, error))?.clone();
    let has = |wanted: &[&str]| {
        names.iter().any(|name| wanted.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)))
    };
    if !(has(&TEXT) || has(&QUESTION) && has(&ANSWER)) {
        let names = names.iter().collect::<Vec<_>>().join("`, `");
        let reason = format!(
            "has no column `text`, `content` or `body`, and no `question` and `answer`, but `{names}`"
        );
        return Err(RagError::Line { path: file.path.to_path_buf(), line: 1, reason });
    }
    let mut read = Read::default();
    for row in reader.records() {
        let row = row.map_err(|error| RagError::file(file.path, error))?;
        let line = row.position().map_or(0, csv::Position::line) as usize;
        let record = if row.len() == names.len() {
            let fields = names.iter().zip(&row).filter(|(_, value)| !value.trim().is_empty());
            Ok(fields.map(|(name, value)| (name.trim().to_string(), Value::from(value))).collect())
        } else {
            Err(format!("has {} fields; the first line has {}", row.len(), names.len()))
        };
        read.add(file, line, record);
    }
    Ok(read)
}

impl Read {
    fn add(&mut self, file: &File, line: usize, record: Result<Map<String, Value>, String>) {
        match record.and_then(|record| document(file, line, &record)) {
            Ok(document) => self.documents.push(document),
            Err(reason) => self.skipped.push(RagError::Line { path: file.path.to_path_buf(), line, reason }),
        }
    }
}

fn document(file: &File, line: usize, record: &Map<String, Value>) -> Result<Document, String> {
    let text = field(record, &TEXT)?;
    let (question, answer) = match text {
        Some(_) => (None, None),
        None => (field(record, &QUESTION)?, field(record, &ANSWER)?),
    };
    let text = match (text, &question, answer) {
        (Some(text), ..) => text,
        (None, Some(_), Some(answer)) => answer,
        (None, Some(_), None) => return Err("has a `question` but no `answer`".into()),
        (None, None, Some(_)) => return Err("has an `answer` but no `question`".into()),
        (None, None, None) => {
            return Err("has no `text`, `content` or `body`, and no `question` and `answer`".into());
        }
    };
    check_text(&text, Format::Markdown)?;
    let title = question.or(field(record, &["title"])?).or_else(|| first_heading(&text));
    Ok(Document {
        id: field(record, &["id", "_id"])?.unwrap_or_else(|| format!("{}:{line}", file.name)),
        title: title.unwrap_or_else(|| file.stem.clone()),
        source: field(record, &["source", "url"])?.unwrap_or_else(|| file.name.clone()),
        metadata: Metadata::from_fields(|name| said(record, name)),
        text,
        ..Document::default()
    })
}

/// What a record says under `name`, as text: of a list its elements, of anything else its JSON.
fn said(record: &Map<String, Value>, name: &str) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (_, value) = record.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    let said = match value {
        Value::Null => return None,
        Value::Array(elements) => elements.iter().map(text).collect::<Vec<_>>().join(", "),
        other => text(other),
    };
    Some(said).filter(|said| !said.trim().is_empty())
}

/// The first of `names` that is there and not empty, as text. A number serves too; other types are an error.
fn field(record: &Map<String, Value>, names: &[&str]) -> Result<Option<String>, String> {
    for name in names {
        let field = record.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        match field.map(|(_, value)| value) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.trim().is_empty() => {}
            Some(Value::String(text)) => return Ok(Some(text.clone())),
            Some(Value::Number(number)) => return Ok(Some(number.to_string())),
            Some(_) => return Err(format!("`{name}` is not text")),
        }
    }
    Ok(None)
}
