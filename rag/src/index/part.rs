//! A segment in an index, with what of it counts.

use std::sync::Arc;

use super::digest::TextDigest;
use super::live::Live;
use super::manifest::StoredSegment;
use super::segment::Segment;
use crate::bits::Bits;

/// A segment in an index.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Its number in the index, which no other segment ever has.
    pub id: u64,
    pub segment: Arc<Segment>,
    pub live: Arc<Live>,
    /// Its file; `None` while it is in memory.
    pub file: Option<Arc<StoredSegment>>,
}

impl Part {
    pub fn new(id: u64, segment: Segment, file: Option<StoredSegment>) -> Self {
        let live = Arc::new(Live::new(&segment));
        Part { id, segment: Arc::new(segment), live, file: file.map(Arc::new) }
    }

    /// Deletes a document.
    pub fn delete(&mut self, document: usize) {
        Arc::make_mut(&mut self.live).delete(&self.segment, document);
    }
}

/// The part and number of the live document of an id.
pub(super) fn find(parts: &[Part], id: &str) -> Option<(usize, usize)> {
    let find = |(at, part): (usize, &Part)| {
        let document = part.segment.find(id)?;
        part.live.documents().has(document).then_some((at, document))
    };
    parts.iter().enumerate().find_map(find)
}

/// Deletes the documents of `ids`, those that there are; gives back their texts, of which a copy elsewhere
/// may count from now on.
pub(super) fn delete<'a>(parts: &mut [Part], ids: impl Iterator<Item = &'a str>) -> Texts {
    let mut texts = Texts::default();
    for id in ids {
        let Some((at, document)) = find(parts, id) else { continue };
        let Some(part) = parts.get_mut(at) else { continue };
        texts.add(part, document);
        part.delete(document);
    }
    texts
}

/// Texts of documents and of chunks, by their digests.
#[derive(Debug, Default)]
pub(super) struct Texts {
    wholes: Vec<TextDigest>,
    chunks: Vec<TextDigest>,
}

impl Texts {
    /// The texts of a document.
    pub fn add(&mut self, part: &Part, document: usize) {
        let Some(entry) = part.segment.documents().get(document) else { return };
        self.wholes.push(part.segment.whole_digest(document));
        self.chunks.extend(entry.chunks.clone().map(|chunk| part.segment.text_digest(chunk as usize)));
    }

    /// Takes in those of another.
    pub fn extend(&mut self, other: Texts) {
        self.wholes.extend(other.wholes);
        self.chunks.extend(other.chunks);
    }

    /// The texts of all of a part's documents.
    pub fn of(part: &Part) -> Texts {
        let mut texts = Texts::default();
        (0..part.segment.documents().len()).for_each(|document| texts.add(part, document));
        texts
    }

    /// Of the live copies of each of these texts, makes the one of the first id count and no other.
    pub fn elect(mut self, parts: &mut [Part]) {
        self.wholes.sort_unstable();
        self.wholes.dedup();
        for text in self.wholes {
            let copies = |part: &Part| -> Vec<usize> {
                part.segment.find_wholes(&text).filter(|copy| part.live.documents().has(*copy)).collect()
            };
            elect(
                parts,
                copies,
                |part, document| Some(document).filter(|_| part.live.documents().has(document)),
                |live| live.distinct_documents(),
                Live::set_distinct_document,
            );
        }
        self.chunks.sort_unstable();
        self.chunks.dedup();
        for text in self.chunks {
            let copies = |part: &Part| -> Vec<usize> {
                part.segment.find_texts(&text).filter(|copy| part.live.chunks().has(*copy)).collect()
            };
            elect(
                parts,
                copies,
                |part, chunk| part.segment.owner(chunk),
                |live| live.distinct_chunks(),
                Live::set_distinct_chunk,
            );
        }
    }
}

fn elect(
    parts: &mut [Part],
    copies: impl Fn(&Part) -> Vec<usize>,
    owner: impl Fn(&Part, usize) -> Option<usize>,
    distinct: impl Fn(&Live) -> &Bits,
    set: impl Fn(&mut Live, &Segment, usize, bool),
) {
    let copies: Vec<Vec<usize>> = parts.iter().map(copies).collect();
    // Within a part numbers ascend with ids.
    let firsts = parts.iter().zip(&copies).enumerate().filter_map(|(at, (part, copies))| {
        let first = *copies.first()?;
        Some((part.segment.documents().get(owner(part, first)?)?.id.as_str(), at, first))
    });
    let chosen = firsts.min().map(|(_, at, number)| (at, number));
    for (at, (part, copies)) in parts.iter_mut().zip(copies).enumerate() {
        for copy in copies {
            let counts = chosen == Some((at, copy));
            if distinct(&part.live).has(copy) != counts {
                set(Arc::make_mut(&mut part.live), &part.segment, copy, counts);
            }
        }
    }
}
