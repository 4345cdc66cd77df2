//! XLSX to Markdown: each sheet a section, its rows a table.
//!
//! The cells are read one by one and never laid out in a grid: a sheet of two cells may be a million rows high.

use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{DataRef, Reader, SheetType, SheetVisible, Xlsx, XlsxError};

/// Most bytes of text that are read of a workbook. A document may have less.
const MAX_TEXT: usize = 64 << 20;

/// The text of a workbook, or why there is none. Hidden sheets are left out.
pub(super) fn markdown(bytes: &[u8]) -> Result<String, String> {
    let encrypted =
        || "is encrypted, or an .xls file of old; save it as .xlsx without a password".to_string();
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Err(encrypted());
    }
    let unreadable = |error: XlsxError| match error {
        XlsxError::Password => encrypted(),
        error => format!("cannot be read as XLSX: {error}"),
    };
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(unreadable)?;
    let is_shown = |sheet: &&calamine::Sheet| {
        sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet
    };
    let names = workbook.sheets_metadata().iter().filter(is_shown).map(|sheet| sheet.name.clone());
    let names: Vec<String> = names.collect();
    let mut text = String::new();
    for name in names {
        let mut cells = workbook.worksheet_cells_reader(&name).map_err(unreadable)?;
        let mut rows: BTreeMap<u32, BTreeMap<u32, Cell>> = BTreeMap::new();
        let mut size = text.len();
        while let Some(cell) = cells.next_cell().map_err(unreadable)? {
            let Some(value) = Cell::new(cell.get_value()) else { continue };
            size += value.text.len();
            if size > MAX_TEXT {
                return Err(format!("has more than {} MB of text; split it", MAX_TEXT >> 20));
            }
            let (row, column) = cell.get_position();
            rows.entry(row).or_default().insert(column, value);
        }
        let section = section(&rows);
        if !section.is_empty() {
            text.push_str(&format!("## {}\n\n{section}\n", one_line(&name)));
        }
    }
    if text.is_empty() { Err("has no text".into()) } else { Ok(text) }
}

/// A cell that is not empty.
struct Cell {
    text: String,
    /// Whether it is words, as a column's name is, and no number or date.
    is_words: bool,
}

impl Cell {
    fn new(value: &DataRef) -> Option<Cell> {
        let (text, is_words) = match value {
            DataRef::String(text) => (one_line(text), true),
            DataRef::SharedString(text) => (one_line(text), true),
            DataRef::Int(number) => (number.to_string(), false),
            // As a person sees it: 0.1 + 0.2 has 15 digits there.
            DataRef::Float(number) => (format!("{}", (number * 1e10).round() / 1e10), false),
            DataRef::Bool(true) => ("yes".into(), false),
            DataRef::Bool(false) => ("no".into(), false),
            DataRef::DateTime(moment) if moment.is_duration() => {
                let minutes = (moment.as_f64() * 24.0 * 60.0).round();
                (format!("{}:{:02}", (minutes / 60.0).floor(), minutes % 60.0), false)
            }
            DataRef::DateTime(moment) => {
                let (year, month, day, hour, minute, ..) = moment.to_ymd_hms_milli();
                let date = format!("{year:04}-{month:02}-{day:02}");
                let time = format!("{hour:02}:{minute:02}");
                match (moment.as_f64() < 1.0, moment.as_f64().fract() == 0.0) {
                    (true, _) => (time, false),
                    (_, true) => (date, false),
                    _ => (format!("{date} {time}"), false),
                }
            }
            DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => (one_line(text), false),
            DataRef::Error(_) | DataRef::Empty => return None,
        };
        Some(Cell { text, is_words }).filter(|cell| !cell.text.is_empty())
    }
}

/// The rows of a sheet as Markdown: a row of one cell before a table is a paragraph, the first row of words names the
/// columns. After an empty row a new table may begin, with names of its own.
fn section(rows: &BTreeMap<u32, BTreeMap<u32, Cell>>) -> String {
    let mut text = String::new();
    let mut table: Option<Vec<(u32, String)>> = None;
    let mut is_open = false;
    let mut last = None;
    for (number, row) in rows {
        if last.is_some_and(|last| last + 1 < *number) {
            is_open = false;
        }
        last = Some(*number);
        if let ([cell], false) = (row.values().collect::<Vec<_>>().as_slice(), is_open) {
            text.push_str(&format!("\n{}\n\n", cell.text));
            continue;
        }
        let is_head = row.values().all(|cell| cell.is_words);
        match &table {
            Some(columns) if is_open || !is_head => {
                if !is_open {
                    head(&mut text, columns);
                }
            }
            _ => {
                let names = row.iter().map(|(column, cell)| (*column, cell.text.clone()));
                let names: Vec<(u32, String)> = match is_head {
                    true => names.collect(),
                    // Numbers from the first row on: the columns have no names.
                    false => names.map(|(column, _)| (column, String::new())).collect(),
                };
                head(&mut text, &names);
                table = Some(names);
                if is_head {
                    is_open = true;
                    continue;
                }
            }
        }
        is_open = true;
        let columns = table.as_deref().unwrap_or_default();
        let named = columns.iter().map(|(column, _)| row.get(column).map_or("", |cell| cell.text.as_str()));
        let others = row.iter().filter(|(column, _)| !columns.iter().any(|(named, _)| named == *column));
        let mut cells: Vec<String> = named.map(escaped).collect();
        // A cell beside the table is read with the last of its row.
        for (_, cell) in others {
            match cells.last_mut() {
                Some(last) => last.push_str(&format!(" {}", escaped(&cell.text))),
                None => cells.push(escaped(&cell.text)),
            }
        }
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text.trim_start_matches('\n').to_string()
}

fn head(text: &mut String, columns: &[(u32, String)]) {
    let names: Vec<String> = columns.iter().map(|(_, name)| escaped(name)).collect();
    text.push_str(&format!("\n| {} |\n|{}\n", names.join(" | "), " --- |".repeat(columns.len())));
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};

    fn saved(mut workbook: Workbook) -> Vec<u8> {
        workbook.save_to_buffer().unwrap()
    }

    #[test]
    fn sheets_are_sections_and_rows_keep_their_columns() {
        let mut workbook = Workbook::new();
        let fees = workbook.add_worksheet().set_name("Fees").unwrap();
        fees.write(0, 0, "All fees in euros").unwrap();
        for (column, name) in ["Service", "Fee", "Since"].into_iter().enumerate() {
            fees.write(2, column as u16, name).unwrap();
        }
        let date = Format::new().set_num_format("yyyy-mm-dd");
        for (row, (name, fee)) in
            [("Lost key | card", 180.0), ("Copy\nof a letter", 2.5)].into_iter().enumerate()
        {
            fees.write(3 + row as u32, 0, name).unwrap();
            fees.write(3 + row as u32, 1, fee).unwrap();
            let day = ExcelDateTime::from_ymd(2024, 5, 1).unwrap();
            fees.write_with_format(3 + row as u32, 2, &day, &date).unwrap();
        }
        let hours = workbook.add_worksheet().set_name("Hours").unwrap();
        hours.write(0, 0, "Monday").unwrap();
        hours.write(0, 1, 9).unwrap();
        hours.write(1, 0, "Open").unwrap();
        hours.write(1, 1, true).unwrap();
        let hidden = workbook.add_worksheet().set_name("Secret").unwrap();
        hidden.write(0, 0, "margin").unwrap();
        hidden.set_hidden(true);
        assert_eq!(
            markdown(&saved(workbook)).unwrap(),
            "## Fees\n\nAll fees in euros\n\n\n| Service | Fee | Since |\n| --- | --- | --- |\n\
             | Lost key \\| card | 180 | 2024-05-01 |\n| Copy of a letter | 2.5 | 2024-05-01 |\n\n\
             ## Hours\n\n|  |  |\n| --- | --- |\n| Monday | 9 |\n| Open | yes |\n\n"
        );
    }

    #[test]
    fn a_sheet_of_two_cells_far_apart_is_small() {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        sheet.write(0, 0, "first").unwrap();
        sheet.write(1_048_575, 16_383, "last").unwrap();
        assert_eq!(markdown(&saved(workbook)).unwrap(), "## Sheet1\n\nfirst\n\n\nlast\n\n\n");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut workbook = Workbook::new();
        workbook.add_worksheet();
        assert_eq!(markdown(&saved(workbook)).unwrap_err(), "has no text");
        for bytes in [b"PK\x03\x04".as_slice(), b"words", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let error = markdown(bytes).unwrap_err();
            assert!(error.contains("cannot be read as XLSX"), "{error}");
        }
        let locked = [&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1][..], &[0; 512]].concat();
        assert!(markdown(&locked).unwrap_err().contains("is encrypted"));
    }
}
