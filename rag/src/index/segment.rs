//! A segment: documents that were indexed together, with their chunks, vectors and words. It never changes;
//! which of its documents are deleted is kept beside it.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bytes::SegmentBytes;
use super::codes::Codes;
use super::digest::{Digest, TextDigest};
use super::graph::Graph;
use super::sections::{Section, Sections};
use crate::lexical::{Language, Lexicon};
use crate::{Chunk, Metadata};

/// A document of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The document's id.
    pub id: String,
    /// What an answer cites.
    pub source: String,
    /// Digest of everything that was read of it.
    pub digest: Digest,
    /// The language that its words are stemmed in.
    pub language: Language,
    /// What its file says of it.
    pub metadata: Metadata,
    /// The numbers of its chunks.
    pub chunks: Range<u32>,
}

/// Documents in the order of their ids, each with its chunks.
#[derive(Debug)]
pub(super) struct Segment {
    bytes: Arc<SegmentBytes>,
    sections: Sections,
    documents: Vec<Entry>,
    chunks: usize,
    codes: Codes,
    graph: Option<Graph>,
}

impl Segment {
    /// The segment in `bytes`, of vectors of length `dim`; or what is wrong with them.
    pub fn new(bytes: SegmentBytes, dim: usize) -> Result<Self, String> {
        let bytes = Arc::new(bytes);
        let sections = Sections::read(&bytes)?;
        let part = |section| bytes.get(sections.range(section)).unwrap_or_default();
        let documents: Vec<Entry> =
            postcard::from_bytes(part(Section::Documents)).map_err(|error| format!("documents: {error}"))?;
        let (chunks, rows) = (part(Section::Rows).len() / 4, part(Section::RowEnds).len() / 4);
        let mut next = 0;
        for Entry { id, chunks, .. } in &documents {
            if chunks.start != next || chunks.end < next {
                return Err(format!("document {id} has the chunks {chunks:?}, expected {next}.."));
            }
            next = chunks.end;
        }
        if !documents.is_sorted_by(|a, b| a.id < b.id) {
            return Err("documents are not in the order of their ids".into());
        }
        for (section, expected) in [
            (Section::Rows, next as usize * 4),
            (Section::ChunkEnds, chunks * 8),
            (Section::RowChunks, chunks * 4),
            (Section::RowDigests, rows * 16),
            (Section::RowOrder, rows * 4),
            (Section::TextDigests, chunks * 16),
            (Section::TextOrder, chunks * 4),
            (Section::WholeDigests, documents.len() * 16),
            (Section::WholeOrder, documents.len() * 4),
        ] {
            let found = part(section).len();
            if found != expected {
                return Err(format!("{section:?} has {found} bytes, expected {expected}"));
            }
        }
        let lexicon = Lexicon::new(part(Section::Lexicon))?;
        if lexicon.texts() != (chunks, documents.len()) {
            return Err(format!(
                "the words of {:?} passages and documents, expected {chunks} and {}",
                lexicon.texts(),
                documents.len()
            ));
        }
        let ranges =
            [Section::Scales, Section::Codes, Section::Vectors].map(|section| sections.range(section));
        let codes = Codes::new(bytes.clone(), ranges, rows, dim)?;
        let graph = match part(Section::Graph) {
            [] => None,
            stored => Some(Graph::from_bytes(stored, rows)?),
        };
        Ok(Segment { documents, chunks, codes, graph, sections, bytes })
    }

    fn part(&self, section: Section) -> &[u8] {
        self.bytes.get(self.sections.range(section)).unwrap_or_default()
    }

    fn number(&self, section: Section, at: usize) -> Option<u32> {
        self.part(section).as_chunks().0.get(at).map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn digest(&self, section: Section, at: usize) -> TextDigest {
        self.part(section).as_chunks().0.get(at).copied().unwrap_or_default()
    }

    /// Its documents, ascending by id.
    pub fn documents(&self) -> &[Entry] {
        &self.documents
    }

    /// The number of the document of that id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.documents.binary_search_by(|entry| entry.id.as_str().cmp(id)).ok()
    }

    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// The number of the document that a chunk is of.
    pub fn owner(&self, chunk: usize) -> Option<usize> {
        let number = self.documents.partition_point(|entry| entry.chunks.end as usize <= chunk);
        (number < self.documents.len()).then_some(number)
    }

    /// A chunk as it is stored.
    pub fn chunk_bytes(&self, chunk: usize) -> &[u8] {
        let (ends, _) = self.part(Section::ChunkEnds).as_chunks();
        let end = |at: usize| ends.get(at).map(|bytes| u64::from_le_bytes(*bytes) as usize);
        let start = if chunk == 0 { Some(0) } else { end(chunk - 1) };
        let range = start.zip(end(chunk)).and_then(|(start, end)| self.part(Section::Chunks).get(start..end));
        range.unwrap_or_default()
    }

    /// A chunk; `None` if there is none of that number.
    pub fn chunk(&self, chunk: usize) -> Option<Chunk> {
        postcard::from_bytes(self.chunk_bytes(chunk)).ok()
    }

    /// The number of a chunk's vector.
    pub fn row(&self, chunk: usize) -> Option<usize> {
        self.number(Section::Rows, chunk).map(|row| row as usize)
    }

    /// The chunks of a vector, ascending.
    pub fn row_chunks(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        let start = if row == 0 { 0 } else { self.number(Section::RowEnds, row - 1).unwrap_or_default() };
        let end = self.number(Section::RowEnds, row).unwrap_or_default();
        (start..end).filter_map(|at| self.number(Section::RowChunks, at as usize)).map(|chunk| chunk as usize)
    }

    /// The vectors.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The graph over the vectors, if there are enough.
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// The words.
    pub fn lexicon(&self) -> Option<Lexicon<'_>> {
        Lexicon::new(self.part(Section::Lexicon)).ok()
    }

    /// Digest of what a vector is of.
    pub fn row_digest(&self, row: usize) -> TextDigest {
        self.digest(Section::RowDigests, row)
    }

    /// Digest of a chunk's text.
    pub fn text_digest(&self, chunk: usize) -> TextDigest {
        self.digest(Section::TextDigests, chunk)
    }

    /// Digest of a document's text.
    pub fn whole_digest(&self, document: usize) -> TextDigest {
        self.digest(Section::WholeDigests, document)
    }

    /// The vector of that digest.
    pub fn find_row(&self, digest: &TextDigest) -> Option<usize> {
        self.find_digest(Section::RowOrder, Section::RowDigests, digest).next()
    }

    /// The chunks of a text, by its digest, ascending.
    pub fn find_texts(&self, digest: &TextDigest) -> impl Iterator<Item = usize> + '_ {
        self.find_digest(Section::TextOrder, Section::TextDigests, digest)
    }

    /// The documents of a text, by its digest, ascending.
    pub fn find_wholes(&self, digest: &TextDigest) -> impl Iterator<Item = usize> + '_ {
        self.find_digest(Section::WholeOrder, Section::WholeDigests, digest)
    }

    fn find_digest(
        &self,
        order: Section,
        digests: Section,
        wanted: &TextDigest,
    ) -> impl Iterator<Item = usize> + '_ {
        let at = move |place: usize| self.number(order, place).map(|number| number as usize);
        let of = move |number: usize| self.digest(digests, number);
        let (mut low, mut high) = (0, self.part(order).len() / 4);
        while low < high {
            let middle = low + (high - low) / 2;
            match at(middle).is_some_and(|number| of(number) < *wanted) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let wanted = *wanted;
        (low..).map_while(at).take_while(move |number| of(*number) == wanted)
    }
}
