//! Rows that were left out or changed: how many, and where the first of them are.

use std::path::PathBuf;

use super::row::RowOrigin;

/// Counts rows and remembers the first ten: a file may have a million bad ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// How many rows.
    pub count: usize,
    /// The first of them.
    pub first: Vec<Note>,
}

/// A row and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Index into `Dataset::files`.
    pub file: usize,
    /// The line on which the row starts.
    pub line: u64,
    /// What happened, where that differs from row to row.
    pub reason: String,
}

impl Listed {
    /// How many rows are remembered.
    pub const KEPT: usize = 10;

    /// Adds a row.
    pub fn add(&mut self, origin: RowOrigin, reason: impl Into<String>) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(Note { file: origin.file, line: origin.line, reason: reason.into() });
        }
    }

    /// The places that are remembered, each as `name.csv:12`, and `…` if there are more.
    pub fn places(&self, files: &[PathBuf]) -> String {
        let mut places: Vec<String> = self.first.iter().map(|note| note.place(files)).collect();
        if self.count > places.len() {
            places.push("…".into());
        }
        places.join(", ")
    }
}

impl Note {
    /// The place as `name.csv:12`.
    pub fn place(&self, files: &[PathBuf]) -> String {
        let name = files.get(self.file).and_then(|path| path.file_name()).unwrap_or_default();
        format!("{}:{}", name.display(), self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_are_named_and_all_counted() {
        let files = [PathBuf::from("data/a.csv"), PathBuf::from("data/b.csv")];
        let mut listed = Listed::default();
        listed.add(RowOrigin { file: 0, line: 7 }, "blank");
        listed.add(RowOrigin { file: 1, line: 3 }, "blank");
        assert_eq!(listed.places(&files), "a.csv:7, b.csv:3");
        for line in 4..20 {
            listed.add(RowOrigin { file: 1, line }, "blank");
        }
        assert_eq!((listed.count, listed.first.len()), (18, 10));
        assert!(listed.places(&files).ends_with("b.csv:11, …"));
    }
}
