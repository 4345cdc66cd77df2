//! What of a segment counts: its documents that are not deleted, and their texts that are not copies.

use std::collections::BTreeMap;

use super::segment::Segment;
use crate::bits::Bits;
use crate::lexical::{Language, Totals};

/// What of a segment counts.
#[derive(Debug, Clone)]
pub(super) struct Live {
    documents: Bits,
    chunks: Bits,
    /// Vectors of which at least one chunk is live.
    rows: Bits,
    distinct_documents: Bits,
    distinct_chunks: Bits,
    document_totals: Totals,
    passage_totals: Totals,
    live_chunks: usize,
    /// Live documents of each language.
    languages: BTreeMap<Language, usize>,
}

impl Live {
    /// All of a segment; which texts are distinct is not known yet.
    pub fn new(segment: &Segment) -> Self {
        let (documents, chunks) = (segment.documents().len(), segment.chunks());
        let mut languages = BTreeMap::new();
        for entry in segment.documents() {
            *languages.entry(entry.language).or_default() += 1;
        }
        Live {
            documents: Bits::new(documents, true),
            chunks: Bits::new(chunks, true),
            rows: Bits::new(segment.codes().rows(), true),
            distinct_documents: Bits::new(documents, false),
            distinct_chunks: Bits::new(chunks, false),
            document_totals: Totals::default(),
            passage_totals: Totals::default(),
            live_chunks: chunks,
            languages,
        }
    }

    /// Deletes a document. Which texts elsewhere are no copies any more is for the caller to say.
    pub fn delete(&mut self, segment: &Segment, document: usize) {
        let Some(entry) = segment.documents().get(document) else { return };
        if !self.documents.set(document, false) {
            return;
        }
        if let Some(count) = self.languages.get_mut(&entry.language) {
            *count -= 1;
        }
        self.set_distinct_document(segment, document, false);
        for chunk in entry.chunks.clone() {
            let chunk = chunk as usize;
            self.live_chunks -= usize::from(self.chunks.set(chunk, false));
            self.set_distinct_chunk(segment, chunk, false);
            if let Some(row) = segment.row(chunk) {
                let used = segment.row_chunks(row).any(|chunk| self.chunks.has(chunk));
                self.rows.set(row, used);
            }
        }
    }

    /// Says whether a document's text is the one of its copies that counts.
    pub fn set_distinct_document(&mut self, segment: &Segment, document: usize, distinct: bool) {
        if self.distinct_documents.set(document, distinct) {
            let length = segment.lexicon().map_or(0, |words| words.document_length(document as u32));
            change(&mut self.document_totals, length, distinct);
        }
    }

    /// Says whether a chunk's text is the one of its copies that counts.
    pub fn set_distinct_chunk(&mut self, segment: &Segment, chunk: usize, distinct: bool) {
        if self.distinct_chunks.set(chunk, distinct) {
            let length = segment.lexicon().map_or(0, |words| words.passage_length(chunk as u32));
            change(&mut self.passage_totals, length, distinct);
        }
    }

    pub fn documents(&self) -> &Bits {
        &self.documents
    }

    pub fn chunks(&self) -> &Bits {
        &self.chunks
    }

    pub fn rows(&self) -> &Bits {
        &self.rows
    }

    pub fn distinct_documents(&self) -> &Bits {
        &self.distinct_documents
    }

    pub fn distinct_chunks(&self) -> &Bits {
        &self.distinct_chunks
    }

    /// Of distinct documents and passages.
    pub fn totals(&self) -> (Totals, Totals) {
        (self.document_totals, self.passage_totals)
    }

    /// Numbers of live documents and chunks.
    pub fn counts(&self) -> (usize, usize) {
        (self.languages.values().sum(), self.live_chunks)
    }

    /// The languages of the live documents.
    pub fn languages(&self) -> impl Iterator<Item = Language> + '_ {
        self.languages.iter().filter(|(_, count)| **count > 0).map(|(language, _)| *language)
    }
}

fn change(totals: &mut Totals, length: u32, added: bool) {
    let (texts, length) = (1, u64::from(length));
    match added {
        true => *totals += Totals { texts, length },
        false => *totals -= Totals { texts, length },
    }
}
