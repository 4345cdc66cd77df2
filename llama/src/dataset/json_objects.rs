//! JSON files: an object a line, or objects in an array.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::distinct_keys::DistinctKeys;
use super::fields::of_object;
use super::{MAX_ROW, Sink, too_long};
use crate::error::LlamaError;

/// Reads all rows into `sink`.
pub(super) fn read(reader: impl BufRead, by_line: bool, sink: &mut Sink<'_>) -> Result<(), LlamaError> {
    let mut reader = reader;
    // Some programs write an array into a file whose name ends in .jsonl: read it as one.
    let start = reader.fill_buf().map_err(sink.io())?;
    let by_line = by_line && start.trim_ascii_start().first() != Some(&b'[');
    let mut rows = RawRows { reader, line: 1, row: Vec::new(), length: 0 };
    let mut any = false;
    loop {
        let next = if by_line { rows.next_line() } else { rows.next_object() };
        let Some(line) = next.map_err(sink.io())? else { break };
        any = true;
        sink.take(line, rows.parse().and_then(|object| of_object(&object, &sink.options.columns)))?;
    }
    match any {
        true => Ok(()),
        false => Err(LlamaError::file(sink.path, "the file is empty")),
    }
}

/// Cuts a file into rows.
struct RawRows<R> {
    reader: R,
    /// The line, from 1, of the next byte.
    line: u64,
    /// The row's bytes, as far as they are kept.
    row: Vec<u8>,
    /// How many bytes the row has.
    length: u64,
}

impl<R: BufRead> RawRows<R> {
    /// The object that the row is.
    fn parse(&self) -> Result<Map<String, Value>, String> {
        if self.row.len() > MAX_ROW {
            return Err(too_long(self.length));
        }
        let text = std::str::from_utf8(&self.row).map_err(|_| "not UTF-8; save the file as UTF-8")?;
        match serde_json::from_str(text) {
            Ok(DistinctKeys(Value::Object(object))) => Ok(object),
            Ok(_) => Err("a JSON object is wanted".into()),
            Err(error) => Err(format!("no JSON object: {}", without_line(&error))),
        }
    }

    /// Reads the next line that is not blank and gives its number.
    fn next_line(&mut self) -> io::Result<Option<u64>> {
        loop {
            self.row.clear();
            let kept = self.reader.by_ref().take(MAX_ROW as u64 + 2).read_until(b'\n', &mut self.row)?;
            let ended = self.row.last() == Some(&b'\n');
            let rest = if ended { 0 } else { self.skip_line()? };
            self.length = kept as u64 + rest;
            if kept == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !self.row.trim_ascii().is_empty() {
                self.row.truncate(self.row.trim_ascii_end().len());
                return Ok(Some(self.line - 1));
            }
        }
    }

    /// Passes over the rest of the line and says how long it is.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let (passed, done) = end.map_or((buffer.len(), buffer.is_empty()), |end| (end + 1, true));
            self.reader.consume(passed);
            length += passed as u64;
            if done {
                return Ok(length);
            }
        }
    }

    /// Reads the next object of the array, or whatever else stands where one should, and gives the
    /// line on which it starts.
    fn next_object(&mut self) -> io::Result<Option<u64>> {
        self.row.clear();
        self.length = 0;
        let (mut depth, mut quoted, mut escaped, mut line) = (0usize, false, false, self.line);
        while let Some(&byte) = self.reader.fill_buf()?.first() {
            let between = self.row.is_empty();
            let separates = byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b',');
            let skipped = between && separates;
            if !between && depth == 0 && (separates || byte == b'{') {
                return Ok(Some(line)); // the end of a value that is no object
            }
            self.reader.consume(1);
            if between {
                line = self.line;
            }
            self.line += u64::from(byte == b'\n');
            if skipped {
                continue;
            }
            self.length += 1;
            if self.row.len() <= MAX_ROW {
                self.row.push(byte);
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(Some(line));
                    }
                }
                _ => {}
            }
        }
        Ok((!self.row.is_empty()).then_some(line))
    }
}

/// What is wrong and in which column; serde_json counts the row's lines, not the file's.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) => format!("{reason} at column {}", error.column()),
        None => text,
    }
}
