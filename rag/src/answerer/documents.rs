//! The documents of an answerer, which may change while it answers.

use std::collections::HashSet;
use std::sync::Arc;

use super::Answerer;
use crate::read::check_document;
use crate::{
    Document, DocumentPage, Filter, Hit, IndexedDocument, Knowledge, MetadataFilter, RagError, Reading,
    StoredDocument,
};

/// What came of a file that was uploaded.
#[derive(Debug)]
pub struct Upload {
    /// Its documents, as they are stored.
    pub documents: Vec<StoredDocument>,
    /// Parts of it that are left out, and why.
    pub skipped: Vec<RagError>,
}

/// Passages that may answer a question.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResults {
    /// The passages, best first.
    pub hits: Vec<Hit>,
    /// Probability that what would be read for an answer holds none, in `[0, 1]`.
    pub no_answer: f32,
}

impl Answerer {
    /// Stores a document, in place of that of the same id if there is one. The next answer is made from it, and
    /// it is there after a restart if the [store](crate::DocumentStore) is kept. One without a title gets its first
    /// heading's or its id, one without a source its id. One that is as it was is not embedded again.
    ///
    /// # Errors
    /// If it has no id, no text, or too much; if it cannot be embedded or not be written.
    pub fn upsert(&self, document: Document) -> Result<StoredDocument, RagError> {
        let id = document.id.clone();
        let gone = RagError::Document { id, reason: "was deleted while it was stored".into() };
        self.put(vec![document], None)?.pop().ok_or(gone)
    }

    /// Stores the documents of a file of any [kind that is read](Knowledge::read), in place of those that a file of
    /// the same name held.
    ///
    /// # Errors
    /// If no document of it can be read, or one cannot be embedded or written; then nothing has changed.
    pub fn upsert_file(&self, name: &str, bytes: Vec<u8>) -> Result<Upload, RagError> {
        let Knowledge { documents, skipped, files, .. } = Knowledge::read_bytes(name, bytes)?;
        let file = files.into_values().next().map(|file| file.name);
        Ok(Upload { documents: self.put(documents, file.as_deref())?, skipped })
    }

    /// Deletes a document; says whether there was one.
    ///
    /// # Errors
    /// If that cannot be written; then it is still there.
    pub fn delete(&self, id: &str) -> Result<bool, RagError> {
        let (store, index) = (self.retriever.store(), self.retriever.index());
        let _reserved = store.reserve(vec![id.to_string()]);
        let was_there = store.document(id).is_some();
        if was_there {
            store.change(&[id.to_string()], &[], None)?;
        }
        let was_found = index.delete(id)?;
        self.finder.forget(id);
        Ok(was_there || was_found)
    }

    /// At most `limit` documents from number `offset` on, in the order of their ids, of those that have every word
    /// of `query` in their title, id or source.
    pub fn documents(&self, query: &str, offset: usize, limit: usize) -> DocumentPage {
        self.retriever.store().list(query, offset, limit, &self.retriever.index().snapshot())
    }

    /// The document of that id.
    pub fn document(&self, id: &str) -> Option<StoredDocument> {
        self.retriever.store().get(id, &self.retriever.index().snapshot())
    }

    /// The `limit` best passages for `question` of the documents that `filter` lets through, however far, with the
    /// score of every stage: what an answer would be made from.
    ///
    /// # Errors
    /// If a text cannot be embedded.
    pub fn search(
        &self,
        question: &str,
        limit: usize,
        filter: &MetadataFilter,
    ) -> Result<SearchResults, RagError> {
        let embedded = self.retriever.embed(question)?;
        let allows = |document: &IndexedDocument| filter.allows(document);
        let allows: Option<Filter> = if filter.is_empty() { None } else { Some(&allows) };
        let mut selection = self.options.selection.without_threshold();
        selection.depth = selection.depth.max(limit);
        let hits = self.retriever.search_among(&embedded, limit, &selection, allows)?;
        let options = super::AnswerOptions { filter: filter.clone(), ..self.options.clone() };
        let reading = Reading::new(&self.retriever, question, embedded, None, &options)?;
        let findings = self.finder.find(reading.sought(), &reading.hits, self.retriever.embedder())?;
        Ok(SearchResults { hits, no_answer: findings.no_answer })
    }

    /// Stores the documents of `file`, if they are of one, all or none.
    fn put(&self, documents: Vec<Document>, file: Option<&str>) -> Result<Vec<StoredDocument>, RagError> {
        let (store, index) = (self.retriever.store(), self.retriever.index());
        let documents = documents.into_iter().map(|document| check_document(document).map(Arc::new));
        let documents: Vec<Arc<Document>> = documents.collect::<Result<_, _>>()?;
        let ids: HashSet<&str> = documents.iter().map(|document| document.id.as_str()).collect();
        // What may be changed: nobody else changes a file of that name while its earlier documents are looked up.
        let file_reserved = store.reserve(file.map(|name| format!("file {name}")).into_iter().collect());
        let mut stale = file.map(|name| store.ids_of_file(name)).unwrap_or_default();
        stale.retain(|id| !ids.contains(id.as_str()));
        let names = ids.iter().map(|id| id.to_string()).chain(stale.iter().cloned());
        let reserved = store.reserve(names.collect());

        let before: Vec<Arc<Document>> = ids
            .iter()
            .copied()
            .chain(stale.iter().map(String::as_str))
            .filter_map(|id| store.document(id))
            .collect();
        let changed: Vec<Arc<Document>> =
            documents.iter().filter(|document| !before.contains(document)).cloned().collect();
        index.upsert_all(&changed, self.retriever.embedder())?;
        let written = self.check_passages(&changed).and_then(|()| {
            index.delete_all(&stale)?;
            store.change(&stale, &changed, file)
        });
        if let Err(error) = written {
            // Back to what the store holds; their vectors are known. If that fails too, the next start does it.
            let is_new = |document: &&Arc<Document>| store.document(&document.id).is_none();
            let new: Vec<String> =
                changed.iter().filter(is_new).map(|document| document.id.clone()).collect();
            let _ = index.delete_all(&new);
            let _ = index.upsert_all(&before, self.retriever.embedder());
            return Err(error);
        }
        stale.iter().for_each(|id| self.finder.forget(id));
        for document in &changed {
            let hits = self.retriever.passages(&document.id);
            // The document is stored; a question that needs its units makes them, or says why it cannot.
            let _ = self.finder.prepare(&document.id, &hits, self.retriever.embedder());
        }
        let snapshot = index.snapshot();
        let stored = documents.iter().filter_map(|document| store.get(&document.id, &snapshot)).collect();
        drop((reserved, file_reserved));
        Ok(stored)
    }

    /// Refuses documents that nothing can be found of.
    fn check_passages(&self, documents: &[Arc<Document>]) -> Result<(), RagError> {
        let snapshot = self.retriever.index().snapshot();
        let is_lost = |document: &&Arc<Document>| {
            snapshot.find(&document.id).is_none_or(|found| found.chunks.is_empty())
        };
        match documents.iter().find(is_lost) {
            Some(document) => Err(RagError::Document {
                id: document.id.clone(),
                reason: "has no passage that could be found".into(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
