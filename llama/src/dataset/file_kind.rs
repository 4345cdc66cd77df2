//! What a file is: by its name, one that rows are read from; by its first bytes, one that holds no rows.

use std::path::Path;

/// The forms that rows are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Csv,
    /// One object a line.
    JsonLines,
    /// An array of objects.
    Json,
}

impl FileKind {
    /// What the ending of a name says.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Whether a file of a folder is not meant to be read: its name begins with a dot (`.DS_Store`, `._table.csv` of a
/// Mac's archive), or with `~$`, as Office calls its locks.
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.starts_with("~$")
}

/// What is wrong with a file that starts so and holds no rows of text in UTF-8, and what to do.
pub(super) fn not_rows(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 17] = [
        (b"PAR1", "is a Parquet file; convert it to JSON lines"),
        (b"ARROW1", "is an Arrow file; convert it to JSON lines"),
        (
            b"PK\x03\x04",
            "is a ZIP archive, as .xlsx workbooks are; unpack it, or save the sheet as CSV in UTF-8",
        ),
        (b"\xd0\xcf\x11\xe0", "is an old Office file (.xls); save the sheet as CSV in UTF-8"),
        (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
        (b"BZh", "is compressed with bzip2; unpack it first"),
        (b"\xfd7zXZ", "is compressed with xz; unpack it first"),
        (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it first"),
        (b"SQLite format 3\0", "is an SQLite database; export the table as CSV"),
        (b"%PDF", "is a PDF file; questions and answers are wanted as CSV or JSON lines"),
        (
            b"\x80\x04\x95",
            "is a Python pickle, which can run programs and is not read; save it as JSON lines",
        ),
        (b"version https://git-lfs", "is a pointer of Git LFS; fetch the file itself with git lfs pull"),
        (b"<!doctype html", "is a web page, perhaps of an error; fetch the file itself"),
        (b"<html", "is a web page, perhaps of an error; fetch the file itself"),
        (b"\xff\xfe", "is text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff", "is text in UTF-16; save it as UTF-8"),
    ];
    let begins = |magic: &[u8]| {
        let is_tag = magic.starts_with(b"<"); // which may be written in capitals
        start
            .get(..magic.len())
            .is_some_and(|found| found == magic || is_tag && found.eq_ignore_ascii_case(magic))
    };
    let kind = KINDS.iter().find(|(magic, _)| begins(magic));
    let is_tar = || start.get(257..262) == Some(b"ustar");
    // UTF-16 without a mark: every other byte of plain letters is zero.
    let wide = || {
        let zeros =
            |odd: usize| start.iter().take(64).skip(odd).step_by(2).filter(|byte| **byte == 0).count();
        start.len() >= 8 && (zeros(0) >= 4 && zeros(1) == 0 || zeros(1) >= 4 && zeros(0) == 0)
    };
    kind.map(|(_, reason)| *reason)
        .or_else(|| is_tar().then_some("is a tar archive; unpack it first"))
        .or_else(|| wide().then_some("is text in UTF-16; save it as UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_called_what_they_are() {
        for (start, word) in [
            (&b"PAR1\x15"[..], "Parquet"),
            (b"PK\x03\x04\x14", "xlsx"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"<!DOCTYPE html>", "web page"),
            (b"\x80\x04\x95\x0c", "pickle"),
            (&[[b'a'; 257].as_slice(), b"ustar"].concat(), "tar archive"),
            (b"\xff\xfei\0n\0", "UTF-16"),
            (b"i\0n\0s\0t\0r\0u\0", "UTF-16"),
            (b"\0i\0n\0s\0t\0r\0u", "UTF-16"),
        ] {
            assert!(not_rows(start).unwrap().contains(word), "{start:?}");
        }
        for text in ["", "instruction,response\n", "{\"a\": 1}", "Über uns"] {
            assert_eq!(not_rows(text.as_bytes()), None);
        }
    }
}
