//! CSV files.

use std::io::{BufRead, BufReader, Read, Seek};

use super::csv_records::{CsvRecord, CsvRecords, line_ends, separator_name};
use super::fields::Texts;
use super::{Field, Fields, Sink};
use crate::error::LlamaError;

/// The position of each field's column.
struct ColumnIndices {
    columns: usize,
    separator: u8,
    instruction: usize,
    response: usize,
    input: Option<usize>,
    system: Option<usize>,
    context: Option<usize>,
    category: Option<usize>,
}

/// Reads all rows into `sink`.
pub(super) fn read<R: Read + Seek>(mut reader: BufReader<R>, sink: &mut Sink<'_>) -> Result<(), LlamaError> {
    let start = reader.fill_buf().map_err(sink.io())?;
    let (separator, declared) = separator(start);
    reader.consume(declared);
    let mut records = CsvRecords::new(reader, separator, 1 + u64::from(declared > 0));
    let Some(first) = records.next().map_err(sink.io())? else {
        return Err(LlamaError::file(sink.path, "the file is empty"));
    };
    let reader = csv_core::ReaderBuilder::new().delimiter(separator).build();
    let mut splitter = Splitter { reader, separator, text: Vec::new(), ends: Vec::new() };
    let names =
        splitter.fields(&first).map_err(|(line, reason)| LlamaError::line(sink.path, line, reason))?;
    let header = ColumnIndices::find(&names, separator, sink)?;
    loop {
        let Some(record) = records.next().map_err(sink.io())? else { return Ok(()) };
        match splitter.fields(&record) {
            Ok(fields) => sink.take(record.line, header.row(&fields))?,
            Err((line, reason)) => sink.take(line, Err(reason))?,
        }
    }
}

/// What separates the fields of a file that starts so, and the length of a first line that says it, as Excel writes
/// one (`sep=;`). Else it is what the line of the names has most of.
fn separator(start: &[u8]) -> (u8, usize) {
    if let Some([separator, rest @ ..]) = start.strip_prefix(b"sep=")
        && let Some(end) = [&b"\r\n"[..], b"\n", b"\r"].into_iter().find(|end| rest.starts_with(end))
    {
        return (*separator, b"sep=;".len() + end.len());
    }
    let mut quoted = false;
    let mut counts = [(b',', 0), (b'\t', 0), (b';', 0)];
    for byte in start.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')) {
        quoted ^= *byte == b'"';
        counts.iter_mut().filter(|(one, _)| one == byte && !quoted).for_each(|(_, count)| *count += 1);
    }
    // `max_by_key` takes the last of equals, which is the comma.
    let (separator, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count).unwrap_or((b',', 0));
    (separator, 0)
}

/// Splits records into fields. The reader is kept, for making one costs more than a row.
struct Splitter {
    reader: csv_core::Reader,
    separator: u8,
    /// The fields end to end, without their quotes.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    /// The fields of a record, or the line on which something is wrong and what.
    fn fields(&mut self, record: &CsvRecord<'_>) -> Result<Vec<&str>, (u64, String)> {
        let line = record.line;
        let bytes = record.bytes.clone().map_err(|reason| (line, reason))?;
        std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            (line + line_ends(before), "not UTF-8; save the file as UTF-8".to_owned())
        })?;
        let separators = bytes.iter().filter(|&&byte| byte == self.separator).count();
        self.text.resize(bytes.len(), 0);
        self.ends.resize(separators + 2, 0);
        self.reader.reset();
        let (mut written, mut count) = (0, 0);
        // The record, and the end of the input after it.
        for input in [bytes, &[]] {
            let (text, ends) = (self.text.get_mut(written..), self.ends.get_mut(count..));
            let (_, _, text, ends) =
                self.reader.read_record(input, text.unwrap_or_default(), ends.unwrap_or_default());
            (written, count) = (written + text, count + ends);
        }
        let mut start = 0;
        let field = |&end: &usize| {
            let field = self.text.get(start..end).unwrap_or_default();
            start = end;
            std::str::from_utf8(field).unwrap_or_default()
        };
        Ok(self.ends.iter().take(count).map(field).collect())
    }
}

impl ColumnIndices {
    fn find(names: &[&str], separator: u8, sink: &Sink<'_>) -> Result<Self, LlamaError> {
        let columns = &sink.options.columns;
        let missing = |field| {
            // A name that begins with a stray quote goes on over lines; an error is one.
            let in_line = |name: &&str| format!("`{}`", name.replace(char::is_control, " "));
            let found: Vec<String> = names.iter().map(in_line).collect();
            let (name, found) = (columns.name(field), found.join(", "));
            let separated = match separator {
                b',' => String::new(),
                other => format!(", separated by {}", separator_name(other)),
            };
            format!("there is no column `{name}`; the first line has {found}{separated}")
        };
        let may = |field| match (columns.find(field, names.iter().copied())?, columns.named(field)) {
            (None, Some(_)) => Err(missing(field)),
            (found, _) => Ok(found),
        };
        let must = |field| columns.find(field, names.iter().copied())?.ok_or_else(|| missing(field));
        let find = || {
            Ok(Self {
                columns: names.len(),
                separator,
                instruction: must(Field::Instruction)?,
                response: must(Field::Response)?,
                input: may(Field::Input)?,
                system: may(Field::System)?,
                context: may(Field::Context)?,
                category: may(Field::Category)?,
            })
        };
        find().map_err(|reason: String| LlamaError::file(sink.path, reason))
    }

    fn row(&self, fields: &[&str]) -> Result<Option<Fields>, String> {
        if fields.len() != self.columns {
            return Err(format!(
                "{} fields where the first line has {}; a quote or {} is amiss",
                fields.len(),
                self.columns,
                separator_name(self.separator).trim_start_matches("a ")
            ));
        }
        let field = |column: usize| fields.get(column).copied().unwrap_or_default();
        let optional = |column: Option<usize>| column.map(field).unwrap_or_default();
        let texts = Texts {
            instruction: field(self.instruction),
            input: optional(self.input),
            response: field(self.response),
            system: optional(self.system),
            context: optional(self.context),
            category: optional(self.category),
        };
        texts.row()
    }
}
