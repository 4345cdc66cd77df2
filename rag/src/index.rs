//! The index: chunks, found by the cosine of their vectors and by their words.
//!
//! It is a list of immutable segments, each with its chunks, vectors (in 8 bits, and exact) and words, and
//! beside each what of it is deleted. A new document is a new segment of one; small segments are merged
//! into larger ones, large ones on a thread of their own, so that there are never many. A search looks at a
//! [`Snapshot`] of the list and waits for nothing. See `store.rs` for how it is kept on disk.

mod bytes;
mod codes;
mod digest;
mod dot;
mod draft;
mod graph;
mod intake;
mod live;
mod log;
mod manifest;
mod merge;
mod open;
mod origin;
mod part;
mod policy;
mod sections;
mod segment;
mod snapshot;
mod state;
mod store;
mod vector;
mod worker;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::{Document, Embedder, RagError};
use intake::Cut;
use manifest::MadeWith;
pub use origin::IndexOrigin;
pub use snapshot::{Filter, IndexedDocument, Snapshot};
pub use vector::UnitVector;
use worker::Shared;

/// Chunks that are committed at a time while many documents are indexed: if the program dies, so many are
/// embedded again.
const COMMIT: usize = 4096;

/// The documents of a knowledge base, in chunks with their vectors and words.
///
/// It may be changed and searched from several threads at once.
#[derive(Debug)]
pub struct Index {
    shared: Arc<Shared>,
    made_with: MadeWith,
    options: IndexOptions,
}

/// How an index is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Whether a chunk is embedded under its document's title and headings, or its text alone.
    pub embed_titles: bool,
}

impl Default for IndexOptions {
    fn default() -> Self {
        IndexOptions { embed_titles: true }
    }
}

/// A chunk that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Its number in the snapshot that was searched.
    pub chunk: usize,
    /// Cosine of its vector and the query's, in `[-1, 1]`: higher is better.
    pub score: f32,
}

impl Index {
    /// The documents as they are now; later changes do not change it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// The `k` chunks nearest to `query` of the documents that `filter` lets through, best first; fewer only
    /// if there are fewer. [`Snapshot::search`], for a caller who wants the chunks' numbers to mean something.
    pub fn search(&self, query: &UnitVector, k: usize, filter: Option<Filter>) -> Vec<Match> {
        self.snapshot().search(query, k, filter)
    }

    /// Adds a document, in place of that of the same id if there is one. The next search finds it, and when
    /// this returns it survives the end of the process, however that ends.
    ///
    /// # Errors
    /// If `embedder` is not the index's own, the document cannot be embedded, or the folder not be written.
    pub fn upsert(&self, document: &Document, embedder: &dyn Embedder) -> Result<(), RagError> {
        self.upsert_all(std::slice::from_ref(document), embedder)
    }

    /// Adds documents, all or none. Of several of the same id the last counts.
    ///
    /// # Errors
    /// Those of [`upsert`](Self::upsert).
    pub fn upsert_all<D: Borrow<Document>>(
        &self,
        documents: &[D],
        embedder: &dyn Embedder,
    ) -> Result<(), RagError> {
        let documents = || documents.iter().map(D::borrow);
        if let Some(difference) = self.made_with.difference(&MadeWith::new(embedder, self.options)) {
            return Err(RagError::Embedding { embedder: embedder.id().into(), reason: difference });
        }
        let by_id: HashMap<&str, &Document> =
            documents().map(|document| (document.id.as_str(), document)).collect();
        if by_id.is_empty() {
            return Ok(());
        }
        let cut = by_id.into_values().map(|document| Cut::new(document, embedder, self.options));
        let cut: Vec<Cut> = cut.collect::<Result<_, _>>()?;
        self.commit(Vec::new(), cut, embedder, &mut |_| ())
    }

    /// Deletes the document of that id; says whether there was one. The next search does not find it, and
    /// when this returns it is gone for good.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn delete(&self, id: &str) -> Result<bool, RagError> {
        Ok(self.delete_all(&[id.to_string()])? == 1)
    }

    /// Deletes documents, all or none; says how many of them there were.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn delete_all(&self, ids: &[String]) -> Result<usize, RagError> {
        self.shared.change(|state| {
            let is_there = |id: &&String| part::find(&state.parts, id).is_some();
            let gone: Vec<String> = ids.iter().filter(is_there).cloned().collect();
            let count = gone.len();
            if count > 0 {
                state.change(gone, None)?;
            }
            Ok(count)
        })
    }

    /// Makes the index one of `documents`: embeds and adds what is new or has changed, and deletes what is
    /// not among them. Of several of the same id the last counts. `progress` is told how many of how many
    /// passages have been embedded. Gives back how many documents changed and how many went.
    ///
    /// # Errors
    /// Those of [`upsert`](Self::upsert). What was done before stays done.
    pub fn update<D: Borrow<Document>>(
        &self,
        documents: &[D],
        embedder: &dyn Embedder,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(usize, usize), RagError> {
        let before = self.snapshot();
        let documents = || documents.iter().map(D::borrow);
        let wanted: HashMap<&str, &Document> =
            documents().map(|document| (document.id.as_str(), document)).collect();
        let ids = before.documents().map(|document| document.id);
        let mut gone: Vec<String> = ids.filter(|id| !wanted.contains_key(id)).map(str::to_string).collect();
        let is_changed = |document: &&Document| {
            let is_wanted =
                wanted.get(document.id.as_str()).is_some_and(|wanted| std::ptr::eq(*wanted, *document));
            is_wanted && before.digest_of(&document.id) != Some(intake::digest_of(document))
        };
        let changed: Vec<&Document> = documents().filter(is_changed).collect();
        let counts = (changed.len(), gone.len());

        let cut = changed.into_iter().map(|document| Cut::new(document, embedder, self.options));
        let cut: Vec<Cut> = cut.collect::<Result<_, _>>()?;
        let new: usize = cut.iter().map(Cut::len).sum();
        let total = intake::missing(&cut, &before);
        drop(before);
        let mut done = 0;
        progress(done, total);
        let mut batch = Vec::new();
        let mut waiting = 0;
        let mut rest = cut.into_iter().peekable();
        while let Some(document) = rest.next() {
            waiting += document.len();
            batch.push(document);
            if waiting >= COMMIT || rest.peek().is_none() {
                let mut embedded = 0;
                self.commit(std::mem::take(&mut gone), std::mem::take(&mut batch), embedder, &mut |count| {
                    embedded = count;
                    progress(done + count, total);
                })?;
                done += embedded;
                waiting = 0;
            }
        }
        if !gone.is_empty() {
            self.shared.change(|state| state.change(gone, None))?;
        }
        let is_mostly_new = 2 * new >= self.snapshot().len();
        if new > 0 && is_mostly_new {
            self.compact()?
        }
        Ok(counts)
    }

    /// Deletes and adds at once.
    fn commit(
        &self,
        gone: Vec<String>,
        new: Vec<Cut>,
        embedder: &dyn Embedder,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), RagError> {
        let vectors = intake::embed(&new, &self.snapshot(), embedder, progress)?;
        let draft = intake::draft(new, &vectors, self.made_with.dim)
            .map_err(|reason| RagError::Embedding { embedder: embedder.id().into(), reason })?;
        self.shared.change(|state| state.change(gone, Some(&draft)))
    }

    /// Merges everything into one segment, and waits for that. Never needed, but the fastest to search
    /// after many documents were added at once.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn compact(&self) -> Result<(), RagError> {
        self.shared.change(|state| {
            state.compact = true;
            Ok(())
        })?;
        self.settle()
    }

    /// Sets how many vectors a segment has from which on it is searched by a graph; see
    /// [`compact`](Self::compact) to apply it at once. The default is where that begins to be faster.
    pub fn set_graph_from(&self, vectors: usize) {
        let set = self.shared.change(|state| {
            state.graph_from = vectors;
            Ok(())
        });
        debug_assert!(set.is_ok(), "setting a number does not fail");
    }

    /// Waits until the thread that merges segments has nothing to do.
    ///
    /// # Errors
    /// Why it could not merge. The documents are safe; it tries again after the next change.
    pub fn settle(&self) -> Result<(), RagError> {
        self.shared.settle()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

#[cfg(test)]
mod tests;
