//! The documents of an index at one moment: what a search looks at. Later changes do not touch it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;

use super::codes::Code;
use super::digest::{Digest, TextDigest};
use super::graph::Graph;
use super::part::{Part, find};
use super::segment::Entry;
use super::{Match, UnitVector};
use crate::bits::Bits;
use crate::lexical::{Language, Shelf, Texts, Totals, Words};
use crate::{Chunk, Metadata};

/// A document of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedDocument<'a> {
    /// The document's id.
    pub id: &'a str,
    /// What an answer cites.
    pub source: &'a str,
    /// What its file says of it.
    pub metadata: &'a Metadata,
    /// The language that its words are stemmed in: that of its metadata, else the one it seems to be in.
    pub(crate) language: Language,
    /// The numbers of its chunks in this snapshot.
    pub chunks: Range<usize>,
}

/// Decides whether a document may be found; see [`MetadataFilter`](crate::MetadataFilter) for one made of conditions.
pub type Filter<'a> = &'a dyn Fn(&IndexedDocument) -> bool;

/// The documents of an index at one moment.
///
/// Its documents and chunks are numbered from 0; some numbers are of documents that are deleted. In another
/// snapshot they are other numbers: what stays is the id of a document or chunk.
#[derive(Debug, Default)]
pub struct Snapshot {
    parts: Vec<Part>,
    /// For each part the numbers of its first document and chunk; at the end how many there are.
    firsts: Vec<(usize, usize)>,
}

impl Snapshot {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        let mut firsts = vec![(0, 0)];
        let (mut documents, mut chunks) = (0, 0);
        for part in &parts {
            documents += part.segment.documents().len();
            chunks += part.segment.chunks();
            firsts.push((documents, chunks));
        }
        Snapshot { parts, firsts }
    }

    /// The `k` chunks nearest to `query` of the documents that `filter` lets through, best first; fewer if
    /// there are fewer. Equals come in the order of their documents' ids.
    pub fn search(&self, query: &UnitVector, k: usize, filter: Option<Filter>) -> Vec<Match> {
        let allowed = filter.map(|filter| self.allowed(filter));
        let code = Code::new(query.as_slice());
        let mut matches = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let rows = allowed.as_ref().map(|allowed| self.allowed_rows(at, part, allowed));
            let is_whole = part.live.counts().1 == part.segment.chunks();
            let rows = rows.as_ref().or((!is_whole).then(|| part.live.rows()));
            let (_, first) = self.firsts.get(at).copied().unwrap_or_default();
            for row in candidates(part, &code, rows, k) {
                let score = part.segment.codes().cosine(query, row);
                let chunks = part.segment.row_chunks(row).map(|chunk| first + chunk);
                let found = chunks.filter(|chunk| self.is_allowed(*chunk, allowed.as_ref())).take(k);
                matches.extend(found.map(|chunk| Match { chunk, score }));
            }
        }
        let order = |a: &Match, b: &Match| {
            b.score.total_cmp(&a.score).then_with(|| self.order_of_chunks(a.chunk, b.chunk))
        };
        if k > 0 && k < matches.len() {
            matches.select_nth_unstable_by(k - 1, order);
        }
        matches.truncate(k);
        matches.sort_unstable_by(order);
        matches
    }

    /// The documents that `filter` lets through.
    pub(crate) fn allowed(&self, filter: Filter) -> Bits {
        let count = self.firsts.last().map_or(0, |last| last.0);
        let mut allowed = Bits::new(count, false);
        for (at, part) in self.parts.iter().enumerate() {
            let (first, first_chunk) = self.firsts.get(at).copied().unwrap_or_default();
            for (number, entry) in part.segment.documents().iter().enumerate() {
                if part.live.documents().has(number) && filter(&indexed(entry, first_chunk)) {
                    allowed.set(first + number, true);
                }
            }
        }
        allowed
    }

    fn allowed_rows(&self, at: usize, part: &Part, allowed: &Bits) -> Bits {
        let (first, _) = self.firsts.get(at).copied().unwrap_or_default();
        let mut rows = Bits::new(part.segment.codes().rows(), false);
        for (number, entry) in part.segment.documents().iter().enumerate() {
            if allowed.has(first + number) {
                let chunks = entry.chunks.clone().map(|chunk| chunk as usize);
                chunks.filter_map(|chunk| part.segment.row(chunk)).for_each(|row| {
                    rows.set(row, true);
                });
            }
        }
        rows
    }

    fn is_allowed(&self, chunk: usize, allowed: Option<&Bits>) -> bool {
        let is_live =
            || self.part_of_chunk(chunk).is_some_and(|(_, part, chunk)| part.live.chunks().has(chunk));
        match allowed {
            Some(allowed) => self.owner(chunk).is_some_and(|document| allowed.has(document)),
            None => is_live(),
        }
    }

    /// The chunk of that number.
    pub fn chunk(&self, number: usize) -> Option<Chunk> {
        let (_, part, chunk) = self.part_of_chunk(number)?;
        part.segment.chunk(chunk)
    }

    /// The cosine of a chunk and a query, in `[-1, 1]`.
    pub(crate) fn cosine(&self, number: usize, query: &UnitVector) -> f32 {
        let row =
            self.part_of_chunk(number).and_then(|(_, part, chunk)| Some((part, part.segment.row(chunk)?)));
        row.map_or(0.0, |(part, row)| part.segment.codes().cosine(query, row))
    }

    /// The vector of a chunk.
    pub(crate) fn vector(&self, number: usize) -> Option<UnitVector> {
        let (_, part, chunk) = self.part_of_chunk(number)?;
        Some(part.segment.codes().vector(part.segment.row(chunk)?))
    }

    /// A vector as it is stored, by the digest of what it is of. It may be of deleted documents only.
    pub(super) fn vector_of(&self, digest: &TextDigest) -> Option<Vec<u8>> {
        let find = |part: &Part| {
            let row = part.segment.find_row(digest)?;
            Some(part.segment.codes().vector_bytes(row).to_vec())
        };
        self.parts.iter().find_map(find)
    }

    /// Digest of the document of that id.
    pub(super) fn digest_of(&self, id: &str) -> Option<Digest> {
        let (at, document) = find(&self.parts, id)?;
        Some(self.parts.get(at)?.segment.documents().get(document)?.digest)
    }

    /// The number of the document that a chunk is of.
    pub(crate) fn owner(&self, chunk: usize) -> Option<usize> {
        let (at, part, chunk) = self.part_of_chunk(chunk)?;
        Some(self.firsts.get(at)?.0 + part.segment.owner(chunk)?)
    }

    /// The document of that number; `None` if there is none or it is deleted.
    pub fn document(&self, number: usize) -> Option<IndexedDocument<'_>> {
        let (first_chunk, part, document) = self.part_of_document(number)?;
        let entry = part.segment.documents().get(document)?;
        part.live.documents().has(document).then(|| indexed(entry, first_chunk))
    }

    /// The document of that id.
    pub fn find(&self, id: &str) -> Option<IndexedDocument<'_>> {
        let (at, document) = find(&self.parts, id)?;
        self.document(self.firsts.get(at)?.0 + document)
    }

    /// The documents.
    pub fn documents(&self) -> impl Iterator<Item = IndexedDocument<'_>> {
        (0..self.firsts.last().map_or(0, |last| last.0)).filter_map(|number| self.document(number))
    }

    /// Order of two documents among equals: that of their ids.
    pub(crate) fn order_of_documents(&self, a: usize, b: usize) -> Ordering {
        let id = |number| self.document(number).map(|document| document.id);
        if self.document_part(a) == self.document_part(b) { a.cmp(&b) } else { id(a).cmp(&id(b)) }
    }

    fn order_of_chunks(&self, a: usize, b: usize) -> Ordering {
        let part = |chunk| self.firsts.partition_point(|(_, first)| *first <= chunk);
        if part(a) == part(b) {
            return a.cmp(&b);
        }
        match (self.owner(a), self.owner(b)) {
            (Some(a), Some(b)) => self.order_of_documents(a, b),
            _ => a.cmp(&b),
        }
    }

    /// The words.
    pub(crate) fn words(&self) -> Words<'_> {
        let mut words = Words {
            shelves: Vec::new(),
            languages: BTreeSet::new(),
            documents: 0,
            passage_totals: Totals::default(),
            document_totals: Totals::default(),
        };
        for (part, (document, chunk)) in self.parts.iter().zip(&self.firsts) {
            let live = &part.live;
            let (documents, passages) = live.totals();
            words.document_totals += documents;
            words.passage_totals += passages;
            words.documents += live.counts().0;
            words.languages.extend(live.languages());
            words.shelves.extend(part.segment.lexicon().map(|lexicon| Shelf {
                lexicon,
                passages: Texts { first: *chunk, live: live.chunks(), distinct: live.distinct_chunks() },
                documents: Texts {
                    first: *document,
                    live: live.documents(),
                    distinct: live.distinct_documents(),
                },
            }));
        }
        words
    }

    /// How many numbers documents and chunks have, deleted ones included.
    pub(crate) fn numbers(&self) -> (usize, usize) {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.live.counts().1).sum()
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of vectors that are stored, those of deleted documents included.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.segment.codes().rows()).sum()
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.parts.len()
    }

    fn document_part(&self, document: usize) -> usize {
        self.firsts.partition_point(|(first, _)| *first <= document).saturating_sub(1)
    }

    /// The number of the first chunk of a document's part, the part, and the document's number there.
    fn part_of_document(&self, document: usize) -> Option<(usize, &Part, usize)> {
        let at = self.document_part(document);
        let (first, chunk) = self.firsts.get(at)?;
        Some((*chunk, self.parts.get(at)?, document - first))
    }

    fn part_of_chunk(&self, chunk: usize) -> Option<(usize, &Part, usize)> {
        let at = self.firsts.partition_point(|(_, first)| *first <= chunk).checked_sub(1)?;
        Some((at, self.parts.get(at)?, chunk - self.firsts.get(at)?.1))
    }
}

/// A document of a segment whose first chunk has the number `first_chunk`.
fn indexed(entry: &Entry, first_chunk: usize) -> IndexedDocument<'_> {
    let Entry { id, source, metadata, language, chunks, .. } = entry;
    let chunks = first_chunk + chunks.start as usize..first_chunk + chunks.end as usize;
    IndexedDocument { id, source, metadata, language: *language, chunks }
}

/// Rows of a part among which its `k` nearest are, of those `allowed`: by their codes, with some to spare for
/// what rounding hides.
fn candidates(part: &Part, query: &Code, allowed: Option<&Bits>, k: usize) -> Vec<usize> {
    let codes = part.segment.codes();
    let exists = allowed.map_or(codes.rows(), Bits::count);
    let wanted = k.saturating_add((k / 2).max(32)).min(exists);
    if k == 0 {
        return Vec::new();
    }
    if query.scale == 0.0 || wanted == exists {
        // Nothing to choose by, or nothing to leave out. Of equals the first count.
        let rows = (0..codes.rows()).filter(|row| allowed.is_none_or(|allowed| allowed.has(*row)));
        return rows.take(if query.scale == 0.0 { k } else { exists }).collect();
    }
    if let Some(graph) = part.segment.graph().filter(|_| k <= Graph::MAX_RESULTS) {
        let mut near = graph.search(codes, query);
        near.retain(|row| allowed.is_none_or(|allowed| allowed.has(*row)));
        if near.len() >= k.min(exists) {
            near.truncate(wanted);
            return near;
        }
    }
    codes.scan(query, allowed, wanted)
}
