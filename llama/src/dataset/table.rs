//! CSV files.

use std::io::{BufReader, Read, Seek};

use super::csv_records::{CsvRecord, CsvRecords};
use super::fields::Texts;
use super::{Field, Fields, Sink};
use crate::LlamaError;

/// Which columns are what.
struct Header {
    columns: usize,
    instruction: usize,
    response: usize,
    input: Option<usize>,
    system: Option<usize>,
    context: Option<usize>,
    category: Option<usize>,
}

/// Reads all rows into `sink`.
pub(super) fn read<R: Read + Seek>(reader: BufReader<R>, sink: &mut Sink<'_>) -> Result<(), LlamaError> {
    let mut records = CsvRecords::new(reader);
    let Some(first) = records.next().map_err(sink.io())? else {
        return Err(LlamaError::file(sink.path, "the file is empty"));
    };
    let mut splitter = Splitter { reader: csv_core::Reader::new(), text: Vec::new(), ends: Vec::new() };
    let names =
        splitter.fields(&first).map_err(|(line, reason)| LlamaError::line(sink.path, line, reason))?;
    let header = Header::find(&names, sink)?;
    loop {
        let Some(record) = records.next().map_err(sink.io())? else { return Ok(()) };
        match splitter.fields(&record) {
            Ok(fields) => sink.take(record.line, header.row(&fields))?,
            Err((line, reason)) => sink.take(line, Err(reason))?,
        }
    }
}

/// Splits records into fields. The reader is kept, for making one costs more than a row.
struct Splitter {
    reader: csv_core::Reader,
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
            let line = line + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
            (line, "not UTF-8; save the file as UTF-8".to_owned())
        })?;
        let commas = bytes.iter().filter(|&&byte| byte == b',').count();
        self.text.resize(bytes.len(), 0);
        self.ends.resize(commas + 2, 0);
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

impl Header {
    fn find(names: &[&str], sink: &Sink<'_>) -> Result<Self, LlamaError> {
        let columns = &sink.options.columns;
        let may = |field| match (columns.find(field, names.iter().copied()), columns.named(field)) {
            (None, Some(_)) => Err(field),
            (found, _) => Ok(found),
        };
        let must = |field| columns.find(field, names.iter().copied()).ok_or(field);
        let find = || {
            Ok(Self {
                columns: names.len(),
                instruction: must(Field::Instruction)?,
                response: must(Field::Response)?,
                input: may(Field::Input)?,
                system: may(Field::System)?,
                context: may(Field::Context)?,
                category: may(Field::Category)?,
            })
        };
        find().map_err(|field| {
            // A name that begins with a stray quote goes on over lines; an error is one.
            let in_line = |name: &&str| format!("`{}`", name.replace(char::is_control, " "));
            let found: Vec<String> = names.iter().map(in_line).collect();
            let (name, found) = (columns.name(field), found.join(", "));
            LlamaError::file(sink.path, format!("there is no column `{name}`; the first line has {found}"))
        })
    }

    fn row(&self, fields: &[&str]) -> Result<Option<Fields>, String> {
        if fields.len() != self.columns {
            return Err(format!(
                "{} fields where the first line has {}; a quote or comma is amiss",
                fields.len(),
                self.columns
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
