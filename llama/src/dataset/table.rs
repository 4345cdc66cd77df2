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
    let names = fields(&first).map_err(|(line, reason)| LlamaError::line(sink.path, line, reason))?;
    let header = Header::find(&names, sink)?;
    loop {
        let Some(record) = records.next().map_err(sink.io())? else { return Ok(()) };
        match fields(&record) {
            Ok(fields) => sink.take(record.line, header.row(&fields))?,
            Err((line, reason)) => sink.take(line, Err(reason))?,
        }
    }
}

/// The fields of a record, or the line on which something is wrong and what.
fn fields(record: &CsvRecord<'_>) -> Result<csv::StringRecord, (u64, String)> {
    let line = record.line;
    let bytes = record.bytes.clone().map_err(|reason| (line, reason))?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = line + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        (line, "not UTF-8; save the file as UTF-8".to_owned())
    })?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut fields = csv::StringRecord::new();
    reader.read_record(&mut fields).map_err(|error| (line, error.to_string()))?;
    Ok(fields)
}

impl Header {
    fn find(names: &csv::StringRecord, sink: &Sink<'_>) -> Result<Self, LlamaError> {
        let columns = &sink.options.columns;
        let may = |field| match (columns.find(field, names.iter()), columns.named(field)) {
            (None, Some(_)) => Err(field),
            (found, _) => Ok(found),
        };
        let must = |field| columns.find(field, names.iter()).ok_or(field);
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
            let found: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let (name, found) = (columns.name(field), found.join(", "));
            LlamaError::file(sink.path, format!("there is no column `{name}`; the first line has {found}"))
        })
    }

    fn row(&self, fields: &csv::StringRecord) -> Result<Option<Fields>, String> {
        if fields.len() != self.columns {
            return Err(format!(
                "{} fields where the first line has {}; a quote or comma is amiss",
                fields.len(),
                self.columns
            ));
        }
        let field = |column: usize| fields.get(column).unwrap_or_default();
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
