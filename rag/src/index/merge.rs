//! Makes one segment of several, without what is deleted in them.

use std::borrow::Cow;

use super::digest::text_digest;
use super::draft::{Draft, DraftChunk, DraftDocument};
use super::part::Part;
use crate::lexical::{Merged, merge as merge_words};

/// The live documents of `parts`.
pub(super) fn draft(parts: &[Part], dim: usize) -> Draft<'_> {
    // Every live document by its id, its part and its number there.
    let mut all: Vec<(&str, usize, usize)> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let documents = part.segment.documents().iter().enumerate();
        let live = documents.filter(|(number, _)| part.live.documents().has(*number));
        all.extend(live.map(|(number, entry)| (entry.id.as_str(), at, number)));
    }
    all.sort_unstable();

    // For each part where its chunks and documents go.
    let mut places: Vec<[Vec<Option<u32>>; 2]> = parts
        .iter()
        .map(|part| [vec![None; part.segment.chunks()], vec![None; part.segment.documents().len()]])
        .collect();
    let mut documents = Vec::with_capacity(all.len());
    let mut next = 0;
    for (_, at, number) in all {
        let Some((part, [new_chunks, new_documents])) = parts.get(at).zip(places.get_mut(at)) else {
            continue;
        };
        let Some(entry) = part.segment.documents().get(number) else { continue };
        if let Some(place) = new_documents.get_mut(number) {
            *place = Some(documents.len() as u32);
        }
        let mut chunks = Vec::with_capacity(entry.chunks.len());
        for chunk in entry.chunks.clone() {
            let chunk = chunk as usize;
            if let Some(place) = new_chunks.get_mut(chunk) {
                *place = Some(next);
                next += 1;
            }
            chunks.push(copy(part, chunk));
        }
        documents.push(DraftDocument {
            id: Cow::Borrowed(&entry.id),
            source: Cow::Borrowed(&entry.source),
            digest: entry.digest,
            language: entry.language,
            metadata: Cow::Borrowed(&entry.metadata),
            whole: part.segment.whole_digest(number),
            chunks,
        });
    }
    let words: Vec<Merged> = parts
        .iter()
        .zip(places)
        .filter_map(|(part, [passages, documents])| {
            Some(Merged { lexicon: part.segment.lexicon()?, passages, documents })
        })
        .collect();
    let lexicon = merge_words(&words, next as usize, documents.len());
    Draft { documents, lexicon, dim }
}

fn copy(part: &Part, chunk: usize) -> DraftChunk<'_> {
    let segment = &part.segment;
    let row = segment.row(chunk);
    DraftChunk {
        bytes: Cow::Borrowed(segment.chunk_bytes(chunk)),
        text: segment.text_digest(chunk),
        embedded: row.map_or_else(|| text_digest([]), |row| segment.row_digest(row)),
        vector: Cow::Borrowed(row.map_or(&[], |row| segment.codes().vector_bytes(row))),
    }
}
