//! One CSV file.

use std::path::Path;

use super::{Origin, Row};
use crate::LlamaError;

/// A file's rows, and how many were blank.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub rows: Vec<Row>,
    pub blank: usize,
}

/// Reads the file's bytes; `path` is for messages and `file` is its index in the data set.
pub(super) fn parse(bytes: &[u8], path: &Path, file: usize) -> Result<Table, LlamaError> {
    let mut lines = Lines { bytes, counted: 0, line: 1 };
    let line_error = |line, reason: String| LlamaError::file(path, format!("line {line}: {reason}"));
    // Checked first, for the csv reader counts a broken byte's record, not its line.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        line_error(lines.clone().at(error.valid_up_to()), "not UTF-8; save the file as UTF-8".into())
    })?;
    if let Some(line) = unclosed_quote(text) {
        return Err(line_error(line, "the quote that opens here is never closed".into()));
    }

    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let csv_error = |error: csv::Error, mut lines: Lines<'_>| {
        let line = lines.at(start(error.position()));
        line_error(
            line,
            match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{len} fields where the first line has {expected_len}; a quote or comma is amiss")
                }
                _ => error.to_string(),
            },
        )
    };
    let headers = reader.headers().map_err(|error| csv_error(error, lines.clone()))?.clone();
    if headers.is_empty() {
        return Err(LlamaError::file(path, "the file is empty"));
    }
    let find = |name: &str| headers.iter().position(|header| header.trim().eq_ignore_ascii_case(name));
    let need = |name: &str| {
        find(name).ok_or_else(|| {
            let found: Vec<String> = headers.iter().map(|name| format!("`{name}`")).collect();
            let reason = format!("there is no column `{name}`; the first line has {}", found.join(", "));
            LlamaError::file(path, reason)
        })
    };
    let (instruction, response, context) = (need("instruction")?, need("response")?, find("context"));
    let category = find("category").or_else(|| find("intent"));

    let mut table = Table::default();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(error, lines.clone()))?;
        let field = |column: usize| record.get(column).unwrap_or_default().trim();
        if field(instruction).is_empty() || field(response).is_empty() {
            table.blank += 1;
            continue;
        }
        let optional =
            |column: Option<usize>| column.map(field).filter(|text| !text.is_empty()).map(Into::into);
        table.rows.push(Row {
            instruction: field(instruction).into(),
            context: optional(context),
            response: field(response).into(),
            category: optional(category),
            origin: Origin { file, line: lines.at(start(record.position())) },
        });
    }
    Ok(table)
}

fn start(position: Option<&csv::Position>) -> usize {
    position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(0)
}

/// Counts lines up to places that come one after the other. The csv reader's own count is one short
/// where lines end in `\r\n`: a record starts for it between the two.
#[derive(Clone)]
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line, from 1, of the first text at or after `byte`.
    fn at(&mut self, byte: usize) -> u64 {
        let rest = self.bytes.get(byte..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = self.bytes.get(self.counted..byte + ends).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.counted = byte + ends;
        self.line
    }
}

/// The line of a quote that opens a field and has no end; the csv reader would take the rest of the
/// file for that field.
fn unclosed_quote(text: &str) -> Option<u64> {
    enum At {
        FieldStart,
        Unquoted,
        Quoted,
        /// After a quote within a quoted field: its end, or half of `""`.
        Quote,
    }
    let (mut at, mut line, mut opened) = (At::FieldStart, 1, 1);
    for byte in text.trim_start_matches('\u{feff}').bytes() {
        at = match (at, byte) {
            (At::FieldStart, b'"') => {
                opened = line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (_, b',' | b'\n' | b'\r') => At::FieldStart,
            _ => At::Unquoted,
        };
        line += u64::from(byte == b'\n');
    }
    matches!(at, At::Quoted).then_some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        parse(text.as_bytes(), Path::new("data.csv"), 0).unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        parse(bytes, Path::new("data.csv"), 0).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let text = "\u{feff}Intent,response, Instruction ,context\r\n\
                    x,\"Yes, \"\"today\"\".\",\"Two\r\nlines\", \r\n\
                    y,B,A,C\r\n";
        let rows = table(text).rows;
        assert_eq!(rows[0].instruction, "Two\r\nlines");
        assert_eq!(rows[0].response, "Yes, \"today\".");
        assert_eq!(rows[0].context, None);
        assert_eq!(rows[1].context.as_deref(), Some("C"));
        assert_eq!(rows[0].category.as_deref(), Some("x"), "an intent is a category");
        assert_eq!((rows[0].origin.line, rows[1].origin.line), (2, 4));
    }

    #[test]
    fn a_category_goes_before_an_intent() {
        let rows = table("intent,category,instruction,response\nx,Y,A,B\nx,,C,D\n").rows;
        assert_eq!((rows[0].category.as_deref(), rows[1].category.as_deref()), (Some("Y"), None));
    }

    #[test]
    fn blank_rows_are_counted() {
        let table = table("instruction,response\nA,B\n\n ,B\nA,\t\n,\nC,D\n");
        assert_eq!((table.rows.len(), table.blank), (2, 3));
    }

    #[test]
    fn missing_columns_name_what_is_there() {
        assert_eq!(
            error(b"question,response\nA,B\n"),
            "data.csv: there is no column `instruction`; the first line has `question`, `response`"
        );
        assert!(error(b"instruction;response\nA;B\n").contains("`instruction;response`"));
        assert!(error(b"").contains("data.csv: the file is empty"));
        assert!(error(b"\n\n").contains("data.csv: the file is empty"));
    }

    #[test]
    fn broken_lines_are_numbered() {
        assert!(error(b"instruction,response\nA,B\nC\xff,D\n").starts_with("data.csv: line 3: not UTF-8"));
        assert!(error(b"instruction,response\nA,B\nC,\"D\nE,F\n").starts_with("data.csv: line 3: the quote"));
        assert!(error(b"instruction,response\nA,B\nC,D,E\n").starts_with("data.csv: line 3: 3 fields"));
        // A lone quote that another one happens to close swallows the rows between them.
        assert!(error(b"instruction,response\nA,\"B\nC,D\n\"E\",F\n").starts_with("data.csv: line 2"));
    }

    #[test]
    fn quotes_inside_unquoted_fields_are_text() {
        assert_eq!(table("instruction,response\n5\" pipe,\"\"\"Yes\"\"\"\n").rows[0].instruction, "5\" pipe");
    }
}
