//! Cuts a CSV file into records, strictly and in little memory.
//!
//! The csv crate takes everything after a stray quote for one field, to the end of the file if need
//! be. Here a quote must open a field and close before a comma or the end of the record; where it does
//! not, the record's first line is what is wrong, and reading goes on with the second.

use std::io::{self, BufRead, BufReader, Read, Seek};

use super::{MAX_ROW, too_long};

/// The records of a file.
pub(super) struct CsvRecords<R> {
    reader: BufReader<R>,
    /// The byte between fields.
    separator: u8,
    /// Bytes that were read.
    offset: u64,
    /// The line, from 1, of the next byte.
    line: u64,
    record: Vec<u8>,
}

/// One record that is not blank.
pub(super) struct CsvRecord<'a> {
    /// The line, from 1, on which it starts.
    pub line: u64,
    /// Its bytes without the line end, or what is wrong with it.
    pub bytes: Result<&'a [u8], String>,
}

/// The name of a separator for messages.
pub(super) fn separator_name(separator: u8) -> &'static str {
    match separator {
        b'\t' => "a tab",
        b';' => "a semicolon",
        _ => "a comma",
    }
}

/// How many lines end in `text`: with LF, CR LF or CR.
pub(super) fn line_ends(text: &[u8]) -> u64 {
    let ends =
        |(at, byte): (usize, &u8)| *byte == b'\n' || *byte == b'\r' && text.get(at + 1) != Some(&b'\n');
    text.iter().enumerate().filter(|at| ends(*at)).count() as u64
}

enum At {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote within a quoted field: its end, or half of `""`.
    Quote,
    /// Between a quoted field's end and the comma.
    Closed,
}

impl<R: Read + Seek> CsvRecords<R> {
    /// Starts at the reader's place, where line number `line` begins.
    pub fn new(reader: BufReader<R>, separator: u8, line: u64) -> Self {
        Self { reader, separator, offset: 0, line, record: Vec::new() }
    }

    /// The next byte, and whether it ends a line.
    fn byte(&mut self) -> io::Result<Option<(u8, bool)>> {
        let Some(&byte) = self.reader.fill_buf()?.first() else { return Ok(None) };
        self.reader.consume(1);
        self.offset += 1;
        let ends = byte == b'\n' || byte == b'\r' && self.reader.fill_buf()?.first() != Some(&b'\n');
        self.line += u64::from(ends);
        Ok(Some((byte, ends)))
    }

    /// The next record that is not blank; `None` at the end of the file.
    pub fn next(&mut self) -> io::Result<Option<CsvRecord<'_>>> {
        loop {
            let (start, line) = (self.offset, self.line);
            let outcome = self.scan()?;
            if self.offset == start {
                return Ok(None);
            }
            if outcome.is_ok() && self.record.trim_ascii().is_empty() {
                continue;
            }
            return Ok(Some(CsvRecord { line, bytes: outcome.map(|()| self.record.as_slice()) }));
        }
    }

    /// Reads one record, or the first line of a broken one.
    fn scan(&mut self) -> io::Result<Result<(), String>> {
        self.record.clear();
        let (start, mut at, mut opened) = (self.offset, At::FieldStart, self.line);
        let mut second = None;
        let fault = loop {
            let (offset, line) = (self.offset, self.line);
            let Some((byte, ends)) = self.byte()? else {
                match at {
                    At::Quoted => break format!("the quote that opens on line {opened} is never closed"),
                    _ => return Ok(self.within_limit(offset - start)),
                }
            };
            if ends && second.is_none() {
                second = Some((self.offset, self.line));
            }
            at = match (at, byte) {
                (At::FieldStart, b'"') => {
                    opened = line;
                    At::Quoted
                }
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
                (_, b'\n' | b'\r') => return Ok(self.within_limit(offset - start)),
                (_, byte) if byte == self.separator => At::FieldStart,
                (At::Quote | At::Closed, b' ' | b'\t') => At::Closed,
                (At::Quote | At::Closed, _) => {
                    break format!(
                        "a quoted field ends within line {line}, but neither {} nor the line's end follows",
                        separator_name(self.separator)
                    );
                }
                (At::FieldStart | At::Unquoted, _) => At::Unquoted,
            };
            if self.record.len() <= MAX_ROW {
                self.record.push(byte);
            }
        };
        match second {
            Some((offset, line)) => {
                self.reader.seek_relative(-i64::try_from(self.offset - offset).unwrap_or(0))?;
                (self.offset, self.line) = (offset, line);
            }
            None => while !matches!(self.byte()?, None | Some((_, true))) {},
        }
        Ok(Err(fault))
    }

    fn within_limit(&self, length: u64) -> Result<(), String> {
        if self.record.len() <= MAX_ROW { Ok(()) } else { Err(too_long(length)) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// `line: record` or `line! what is wrong` of each record.
    fn records(text: &[u8]) -> Vec<String> {
        // A buffer smaller than a record, as 64 KiB is to the longest.
        let mut records = CsvRecords::new(BufReader::with_capacity(4, Cursor::new(text)), b',', 1);
        let mut found = Vec::new();
        while let Some(CsvRecord { line, bytes }) = records.next().unwrap() {
            found.push(match bytes {
                Ok(bytes) => format!("{line}: {}", String::from_utf8_lossy(bytes)),
                Err(reason) => format!("{line}! {reason}"),
            });
        }
        found
    }

    #[test]
    fn records_end_with_their_line_but_not_within_quotes() {
        assert_eq!(records(b"a,b\r\n\r\n\"1\n2\" ,3\n\n4,5"), ["1: a,b", "3: \"1\n2\" ,3", "6: 4,5"]);
        assert_eq!(records(b"a,b\r1,2\r\"3\r4\",5\r6,7"), ["1: a,b", "2: 1,2", "3: \"3\r4\",5", "5: 6,7"]);
        assert_eq!(records(b"a,b\r\r1,2\n\r3,4"), ["1: a,b", "3: 1,2", "5: 3,4"]);
        assert_eq!(records(b"5\" pipe,\"say \"\"hi\"\"\""), ["1: 5\" pipe,\"say \"\"hi\"\"\""]);
        assert_eq!(records(b""), [""; 0]);
        assert_eq!(records(b"\n\r\n"), [""; 0]);
    }

    #[test]
    fn after_a_broken_line_comes_the_next() {
        let found = records(b"a,\"b\nc,d\n\"e\",f\ng,h\n");
        assert!(found[0].starts_with("1! a quoted field ends within line 3"), "{found:?}");
        assert_eq!(found[1..], ["2: c,d", "3: \"e\",f", "4: g,h"]);
        let found = records(b"a,b\nc,\"d\ne,f\n");
        assert_eq!(found, ["1: a,b", "2! the quote that opens on line 2 is never closed", "3: e,f"]);
        assert_eq!(records(b"\"a\"b,c\nd,e")[1], "2: d,e");
        for end in ["\n", "\r", "\r\n"] {
            let text = ["a,b", "c,\"d", "e,f", "g\" x", "h,i"].join(end);
            let found = records(text.as_bytes());
            assert!(found[1].starts_with("2! a quoted field ends within line"), "{found:?}");
            assert_eq!(
                (&found[0], &found[2], &found[4]),
                (&"1: a,b".into(), &"3: e,f".into(), &"5: h,i".into())
            );
        }
    }

    #[test]
    fn a_huge_record_is_passed_over_in_little_memory() {
        let huge = "x\n".repeat(MAX_ROW);
        let text = format!("a,b\n\"{huge}\",c\nd,e\n");
        let mut records = CsvRecords::new(BufReader::new(Cursor::new(text.as_bytes())), b',', 1);
        assert!(records.next().unwrap().unwrap().bytes.is_ok());
        let error = records.next().unwrap().unwrap().bytes.unwrap_err();
        assert!(error.starts_with("the row has 2097156 bytes"), "{error}");
        let last = records.next().unwrap().unwrap();
        assert_eq!((last.line, last.bytes), (3 + MAX_ROW as u64, Ok(b"d,e".as_slice())));
        assert!(records.record.capacity() <= 2 * (MAX_ROW + 1));
    }
}
