//! What becomes a segment: documents that are new, or those of segments that are merged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use super::bytes::SegmentBytes;
use super::codes::{Code, Codes, as_bytes};
use super::digest::{Digest, TextDigest};
use super::graph::Graph;
use super::sections::{Section, SectionWriter};
use super::segment::Entry;
use crate::Metadata;
use crate::lexical::Language;

/// Vectors from which on a graph is built. Up to here a scan serves, which is exact and needs no building. With
/// vectors of 384 on a busy Zen 3, queries/s by scan and by a graph of a recall of .95: 1540 and 1700 to 2400 at
/// 20,000, 217 and 280 at 100,000.
pub(super) const GRAPH_FROM: usize = 50_000;

/// A document of a [`Draft`].
#[derive(Debug, Clone)]
pub(super) struct DraftDocument<'a> {
    pub id: Cow<'a, str>,
    pub source: Cow<'a, str>,
    pub digest: Digest,
    pub language: Language,
    pub metadata: Cow<'a, Metadata>,
    /// Digest of its text.
    pub whole: TextDigest,
    pub chunks: Vec<DraftChunk<'a>>,
}

/// A chunk of a [`Draft`].
#[derive(Debug, Clone)]
pub(super) struct DraftChunk<'a> {
    /// The chunk as it is stored.
    pub bytes: Cow<'a, [u8]>,
    /// Digest of its text.
    pub text: TextDigest,
    /// Digest of what its vector is of: equal ones are stored once.
    pub embedded: TextDigest,
    /// Its vector, f32, the lowest byte first.
    pub vector: Cow<'a, [u8]>,
}

/// Documents, ascending by id, and the words of them all.
pub(super) struct Draft<'a> {
    pub documents: Vec<DraftDocument<'a>>,
    pub lexicon: Vec<u8>,
    pub dim: usize,
}

impl Draft<'_> {
    /// Writes the segment. Of `graph_from` vectors on it has a graph, which takes long to build.
    pub fn write<W: Write>(&self, out: W, graph_from: usize) -> io::Result<(W, Digest)> {
        let mut out = SectionWriter::new(out)?;
        let chunks = || self.documents.iter().flat_map(|document| &document.chunks);
        let mut next = 0;
        let entries: Vec<Entry> = self.documents.iter().map(|document| document.entry(&mut next)).collect();
        out.begin(Section::Documents)?;
        out.write(&postcard::to_allocvec(&entries).map_err(io::Error::other)?)?;

        out.begin(Section::ChunkEnds)?;
        let mut end = 0;
        for chunk in chunks() {
            end += chunk.bytes.len() as u64;
            out.write(&end.to_le_bytes())?;
        }
        out.begin(Section::Chunks)?;
        chunks().try_for_each(|chunk| out.write(&chunk.bytes))?;

        // Vectors are numbered in the order of their first chunks.
        let mut rows: Vec<(&DraftChunk, Vec<u32>)> = Vec::new();
        let mut numbers = HashMap::new();
        out.begin(Section::Rows)?;
        for (number, chunk) in chunks().enumerate() {
            let row = *numbers.entry(chunk.embedded).or_insert_with(|| {
                rows.push((chunk, Vec::new()));
                rows.len() - 1
            });
            if let Some((_, chunks)) = rows.get_mut(row) {
                chunks.push(number as u32);
            }
            out.numbers([row as u32])?;
        }
        out.begin(Section::RowEnds)?;
        let mut end = 0;
        for (_, chunks) in &rows {
            end += chunks.len() as u32;
            out.numbers([end])?;
        }
        out.begin(Section::RowChunks)?;
        rows.iter().try_for_each(|(_, chunks)| out.numbers(chunks.iter().copied()))?;

        let digests: Vec<TextDigest> = rows.iter().map(|(chunk, _)| chunk.embedded).collect();
        write_digests(&mut out, Section::RowDigests, Section::RowOrder, &digests)?;
        let digests: Vec<TextDigest> = chunks().map(|chunk| chunk.text).collect();
        write_digests(&mut out, Section::TextDigests, Section::TextOrder, &digests)?;
        let digests: Vec<TextDigest> = self.documents.iter().map(|document| document.whole).collect();
        write_digests(&mut out, Section::WholeDigests, Section::WholeOrder, &digests)?;

        let vectors: Vec<&[u8]> = rows.iter().map(|(chunk, _)| chunk.vector.as_ref()).collect();
        let coded = encode(&vectors);
        let (scales, codes) = coded.split_at(vectors.len() * 4);
        out.begin(Section::Scales)?;
        out.write(scales)?;
        out.begin(Section::Codes)?;
        out.write(codes)?;
        out.begin(Section::Vectors)?;
        vectors.iter().try_for_each(|vector| out.write(vector))?;
        out.begin(Section::Lexicon)?;
        out.write(&self.lexicon)?;
        out.begin(Section::Graph)?;
        if vectors.len() >= graph_from && self.dim > 0 {
            out.write(&self.graph(vectors.len(), coded)?)?;
        }
        out.finish()
    }

    fn graph(&self, rows: usize, coded: Vec<u8>) -> io::Result<Vec<u8>> {
        let (scales, all) = (rows * 4, coded.len());
        let bytes = Arc::new(SegmentBytes::Owned(coded));
        let codes = Codes::without_vectors(bytes, [0..scales, scales..all], rows, self.dim);
        codes.and_then(|codes| Graph::build(&codes)).map_err(io::Error::other)
    }
}

impl DraftDocument<'_> {
    fn entry(&self, next: &mut u32) -> Entry {
        let start = *next;
        *next += self.chunks.len() as u32;
        Entry {
            id: self.id.to_string(),
            source: self.source.to_string(),
            digest: self.digest,
            language: self.language,
            metadata: self.metadata.clone().into_owned(),
            chunks: start..*next,
        }
    }
}

/// The scales of all vectors, then their codes.
fn encode(vectors: &[&[u8]]) -> Vec<u8> {
    let mut scales = Vec::with_capacity(vectors.iter().map(|vector| 4 + vector.len() / 4).sum());
    let mut codes = Vec::with_capacity(vectors.iter().map(|vector| vector.len() / 4).sum());
    let mut values = Vec::new();
    for vector in vectors {
        values.clear();
        values.extend(vector.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        let code = Code::new(&values);
        scales.extend(code.scale.to_le_bytes());
        codes.extend(as_bytes(&code.codes));
    }
    scales.extend(codes);
    scales
}

fn write_digests<W: Write>(
    out: &mut SectionWriter<W>,
    section: Section,
    order_section: Section,
    digests: &[TextDigest],
) -> io::Result<()> {
    out.begin(section)?;
    digests.iter().try_for_each(|digest| out.write(digest))?;
    let mut order: Vec<u32> = (0..digests.len() as u32).collect();
    order.sort_by_key(|number| digests.get(*number as usize)); // stable: equal ones ascend
    out.begin(order_section)?;
    out.numbers(order)
}
