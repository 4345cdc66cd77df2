//! The frame of a segment's bytes: named sections one after the other, and at the end a table of where each
//! lies, so that it is written in one go and read where it lies.
//!
//! ```text
//! magic   8 bytes
//! …       sections, each from a multiple of 64 bytes on, so that vectors lie in whole cache lines
//! table   offset and length of each section, u64 each
//! ```

use std::io::{self, Write};
use std::ops::Range;

use super::digest::{Digest, Hasher};

/// Names the format and its version, which rises with every change of it.
pub(super) const MAGIC: &[u8; 8] = b"HRTHSG\x00\x02";

const ALIGNMENT: usize = 64;
const TABLE: usize = Section::COUNT * 16;

/// What a segment is made of, in the order that it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    /// The documents.
    Documents,
    /// Where each chunk ends in `Chunks`, u64.
    ChunkEnds,
    /// The chunks.
    Chunks,
    /// For each chunk the number of its vector, u32.
    Rows,
    /// For each vector where its chunks end in `RowChunks`, u32.
    RowEnds,
    /// The numbers of the chunks of each vector, u32.
    RowChunks,
    /// Digests of what the vectors are of.
    RowDigests,
    /// Numbers of the vectors in the order of those digests, u32.
    RowOrder,
    /// Digests of the chunks' texts.
    TextDigests,
    /// Numbers of the chunks in the order of those digests, u32.
    TextOrder,
    /// Digests of the documents' texts.
    WholeDigests,
    /// Numbers of the documents in the order of those digests, u32.
    WholeOrder,
    /// For each vector what its codes are multiplied by, f32.
    Scales,
    /// The vectors in 8 bits.
    Codes,
    /// The vectors, f32.
    Vectors,
    /// The words.
    Lexicon,
    /// The graph over the vectors; empty where a scan serves.
    Graph,
}

impl Section {
    const COUNT: usize = Section::Graph as usize + 1;
}

/// Where the sections of some bytes lie.
#[derive(Debug, Clone)]
pub(super) struct Sections([Range<usize>; Section::COUNT]);

impl Sections {
    /// Reads the table of `bytes`, or says what is wrong with them.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err(match bytes.starts_with(&MAGIC[..6]) {
                true => "is a segment of another version of this program".into(),
                false => "is not a segment".into(),
            });
        }
        let table = bytes.len().checked_sub(TABLE).filter(|start| *start >= MAGIC.len());
        let Some(table) = table.and_then(|start| bytes.get(start..)) else {
            return Err("ends within its table of sections".into());
        };
        let mut numbers = table.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize);
        let mut sections = [const { 0..0 }; Section::COUNT];
        for (number, range) in sections.iter_mut().enumerate() {
            let (start, length) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            let end = start.checked_add(length).filter(|end| *end <= bytes.len());
            let Some(end) = end else { return Err(format!("section {number} ends beyond the file")) };
            *range = start..end;
        }
        Ok(Sections(sections))
    }

    /// Where a section lies.
    pub fn range(&self, section: Section) -> Range<usize> {
        self.0[section as usize].clone()
    }
}

/// Writes sections, and takes the digest of all of it.
pub(super) struct SectionWriter<W> {
    out: W,
    hasher: Hasher,
    at: usize,
    sections: Vec<Range<usize>>,
}

impl<W: Write> SectionWriter<W> {
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = SectionWriter { out, hasher: Hasher::default(), at: 0, sections: Vec::new() };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Begins the next section.
    pub fn begin(&mut self, section: Section) -> io::Result<()> {
        debug_assert_eq!(section as usize, self.sections.len(), "sections are written in their order");
        self.end();
        let padding = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.write([0; ALIGNMENT].get(..padding).unwrap_or_default())?;
        self.sections.push(self.at..self.at);
        Ok(())
    }

    fn end(&mut self) {
        let at = self.at;
        if let Some(last) = self.sections.last_mut().filter(|last| last.end == last.start) {
            last.end = at;
        }
    }

    /// Appends to the section that was begun last.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.at += bytes.len();
        Ok(())
    }

    /// Writes numbers.
    pub fn numbers(&mut self, numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
        numbers.into_iter().try_for_each(|number| self.write(&number.to_le_bytes()))
    }

    /// Writes the table; gives back what was written to, and the digest.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.end();
        for range in std::mem::take(&mut self.sections) {
            self.write(&(range.start as u64).to_le_bytes())?;
            self.write(&(range.len() as u64).to_le_bytes())?;
        }
        Ok((self.out, self.hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::digest;
    use super::*;

    fn written() -> (Vec<u8>, Digest) {
        let mut writer = SectionWriter::new(Vec::new()).unwrap();
        for (number, section) in ALL.into_iter().enumerate() {
            writer.begin(section).unwrap();
            writer.numbers((0..number as u32).map(|n| n * 7)).unwrap();
        }
        writer.finish().unwrap()
    }

    const ALL: [Section; Section::COUNT] = [
        Section::Documents,
        Section::ChunkEnds,
        Section::Chunks,
        Section::Rows,
        Section::RowEnds,
        Section::RowChunks,
        Section::RowDigests,
        Section::RowOrder,
        Section::TextDigests,
        Section::TextOrder,
        Section::WholeDigests,
        Section::WholeOrder,
        Section::Scales,
        Section::Codes,
        Section::Vectors,
        Section::Lexicon,
        Section::Graph,
    ];

    #[test]
    fn sections_are_found_and_aligned() {
        let (bytes, sum) = written();
        assert_eq!(digest(&bytes), sum);
        let sections = Sections::read(&bytes).unwrap();
        for (number, section) in ALL.into_iter().enumerate() {
            let range = sections.range(section);
            assert_eq!((range.start % ALIGNMENT, range.len()), (0, 4 * number));
            let expected: Vec<u8> = (0..number as u32).flat_map(|n| (n * 7).to_le_bytes()).collect();
            assert_eq!(bytes[range], expected);
        }
    }

    #[test]
    fn other_bytes_and_older_versions_are_refused() {
        let (bytes, _) = written();
        let error = |bytes: &[u8]| Sections::read(bytes).unwrap_err();
        assert_eq!(error(b"{}"), "is not a segment");
        assert_eq!(error(b"HRTHSG\x00\x00"), "is a segment of another version of this program");
        assert_eq!(error(MAGIC), "ends within its table of sections");
        let mut far = bytes.clone();
        let last = far.len() - 1;
        far[last] = 0xFF;
        assert_eq!(error(&far), "section 16 ends beyond the file");
    }
}
