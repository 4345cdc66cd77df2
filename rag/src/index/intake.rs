//! Takes documents in: cuts them into chunks, embeds those that are new, and makes a draft of a segment.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::digest::{Digest, TextDigest, digest, text_digest};
use super::draft::{Draft, DraftChunk, DraftDocument};
use super::{IndexOptions, Snapshot, UnitVector};
use crate::chunk::chunk;
use crate::lexical::{Language, LexiconBuilder};
use crate::{Chunk, Document, Embedder, Format, Metadata, RagError};

/// Texts that are embedded at a time: enough to fill a batch, few enough that progress is seen.
const BATCH: usize = 256;

/// A document that is cut, but not embedded yet.
pub(super) struct Cut<'a> {
    document: &'a Document,
    chunks: Vec<(Chunk, Passage)>,
}

/// What is embedded of a chunk.
struct Passage {
    text: String,
    digest: TextDigest,
}

/// Vectors by what they are of; each is stored as it will be in the segment.
pub(super) type Vectors = HashMap<TextDigest, Vec<u8>>;

impl<'a> Cut<'a> {
    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Cuts a document.
    pub fn new(
        document: &'a Document,
        embedder: &dyn Embedder,
        options: IndexOptions,
    ) -> Result<Self, RagError> {
        let with_passage = |chunk: Chunk| {
            let text = match options.embed_titles {
                true => chunk.passage(embedder)?,
                false => chunk.text.clone(),
            };
            let digest = text_digest([text.as_bytes()]);
            Ok((chunk, Passage { text, digest }))
        };
        let chunks =
            chunk(document, embedder)?.into_iter().map(with_passage).collect::<Result<_, RagError>>()?;
        Ok(Cut { document, chunks })
    }
}

/// How many passages of `documents` must be embedded.
pub(super) fn missing(documents: &[Cut], known: &Snapshot) -> usize {
    let passages = documents.iter().flat_map(|document| &document.chunks).map(|(_, passage)| passage.digest);
    let distinct: HashSet<TextDigest> = passages.collect();
    distinct.iter().filter(|digest| known.vector_of(digest).is_none()).count()
}

/// The vectors of all chunks: those of equal passages that `known` has, and new ones, each passage embedded
/// once. `progress` is told how many have been embedded.
pub(super) fn embed(
    documents: &[Cut],
    known: &Snapshot,
    embedder: &dyn Embedder,
    progress: &mut dyn FnMut(usize),
) -> Result<Vectors, RagError> {
    let mut vectors = Vectors::new();
    let mut missing: Vec<&Passage> = Vec::new();
    for (_, passage) in documents.iter().flat_map(|document| &document.chunks) {
        vectors.entry(passage.digest).or_insert_with(|| {
            known.vector_of(&passage.digest).unwrap_or_else(|| {
                missing.push(passage);
                Vec::new() // until it is embedded
            })
        });
    }
    let mut done = 0;
    for batch in missing.chunks(BATCH) {
        let texts: Vec<&str> = batch.iter().map(|passage| passage.text.as_str()).collect();
        for (passage, vector) in batch.iter().zip(UnitVector::embed(embedder, &texts)?) {
            let bytes = vector.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
            vectors.insert(passage.digest, bytes);
        }
        done += batch.len();
        progress(done);
    }
    Ok(vectors)
}

/// A draft of `documents`, whose ids differ.
pub(super) fn draft(
    mut documents: Vec<Cut>,
    vectors: &Vectors,
    dim: usize,
) -> Result<Draft<'static>, String> {
    documents.sort_by(|a, b| a.document.id.cmp(&b.document.id));
    let mut words = LexiconBuilder::default();
    let mut drafts = Vec::with_capacity(documents.len());
    for Cut { document, chunks } in documents {
        let language = document.metadata.language.as_deref().and_then(Language::named);
        let language = language.unwrap_or_else(|| Language::of(&document.text));
        let whole = format!("{}\n{}", document.title, document.text);
        words.add(&whole, language, chunks.iter().map(|(chunk, _)| words_of(chunk)));
        let draft = |(chunk, passage): (Chunk, Passage)| {
            Ok(DraftChunk {
                bytes: postcard::to_allocvec(&chunk).map_err(|error| error.to_string())?.into(),
                text: text_digest([chunk.text.as_bytes()]),
                embedded: passage.digest,
                vector: vectors.get(&passage.digest).cloned().unwrap_or_default().into(),
            })
        };
        drafts.push(DraftDocument {
            id: Cow::Owned(document.id.clone()),
            source: Cow::Owned(document.source.clone()),
            digest: digest_of(document),
            language,
            metadata: Cow::Owned(document.metadata.clone()),
            whole: text_digest([document.text.as_bytes()]),
            chunks: chunks.into_iter().map(draft).collect::<Result<_, String>>()?,
        });
    }
    Ok(Draft { documents: drafts, lexicon: words.finish(), dim })
}

/// Digest of all that an index keeps of a document: as long as it is the same, nothing needs to be done.
pub(super) fn digest_of(document: &Document) -> Digest {
    let Document { id, title, text, source, format, metadata } = document;
    let Metadata { topic, language, updated, audience } = metadata;
    let mut bytes = Vec::with_capacity(text.len() + 256);
    let mut add = |part: &str| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    };
    let format = if *format == Format::Plain { "plain" } else { "markdown" };
    [id, title, text, source, format].into_iter().for_each(&mut add);
    for field in [topic, language, updated, audience] {
        // A mark before each, so that an empty one is not like none.
        add(if field.is_some() { "+" } else { "-" });
        add(field.as_deref().unwrap_or_default());
    }
    digest(&bytes)
}

/// A chunk's text under its title and the headings that the cut took from it, whose words count as its own.
fn words_of(chunk: &Chunk) -> String {
    let lost = chunk.headings.iter().filter(|heading| !chunk.text.contains(heading.as_str()));
    let path: Vec<&str> = std::iter::once(&chunk.title).chain(lost).map(String::as_str).collect();
    format!("{}\n{}", path.join("\n"), chunk.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_in_a_document_changes_its_digest() {
        let document = Document { id: "a".into(), title: "b".into(), ..Document::default() };
        let empty = Some(String::new());
        let others = [
            Document { id: "ab".into(), title: String::new(), ..document.clone() },
            Document { text: "c".into(), ..document.clone() },
            Document { source: "c".into(), ..document.clone() },
            Document { format: Format::Plain, ..document.clone() },
            Document {
                metadata: Metadata { topic: empty.clone(), ..Metadata::default() },
                ..document.clone()
            },
            Document { metadata: Metadata { audience: empty, ..Metadata::default() }, ..document.clone() },
        ];
        let mut digests: Vec<Digest> = others.iter().map(digest_of).collect();
        digests.push(digest_of(&document));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 7);
        assert_eq!(digest_of(&document), digest_of(&document.clone()));
    }
}
