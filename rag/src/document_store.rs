//! The store: every document whole, with its origin; what was changed over HTTP survives a restart.
//!
//! The index holds passages to be found. This holds the documents that they are cut from, to be listed, read and
//! edited. The documents of the knowledge base's folder are read anew at every start; what the API adds, replaces
//! or deletes is kept in a journal and applied over them.

mod journal;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use crate::date::rfc3339;
use crate::reservations::{Reservation, Reservations};
use crate::stored_document::{Origin, StoredDocument};
use crate::{Document, Knowledge, RagError, Snapshot};
use journal::{Journal, Record};

/// The documents of a knowledge base, as they are now.
#[derive(Debug, Default)]
pub struct DocumentStore {
    held: RwLock<BTreeMap<String, Held>>,
    /// `None` for a store in memory.
    journal: Option<Mutex<Journal>>,
    skipped: Vec<RagError>,
    reservations: Reservations,
}

/// A document that is held.
#[derive(Debug, Clone)]
struct Held {
    document: Arc<Document>,
    origin: Origin,
    updated: String,
    file: Option<String>,
}

/// A part of the list of documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentPage {
    /// The documents, in the order of their ids.
    pub documents: Vec<StoredDocument>,
    /// How many there are in all.
    pub total: usize,
}

impl DocumentStore {
    /// The documents of a folder, and nothing kept of what changes.
    pub fn in_memory(knowledge: Knowledge) -> Self {
        let Knowledge { documents, mut files, skipped, .. } = knowledge;
        let hold = |document: Document| {
            let file = files.remove(&document.id);
            let updated = file.as_ref().and_then(|file| file.modified).map(rfc3339).unwrap_or_default();
            let (id, file) = (document.id.clone(), file.map(|file| file.name));
            (id, Held { document: Arc::new(document), origin: Origin::Folder, updated, file })
        };
        let held = documents.into_iter().map(hold).collect();
        DocumentStore { held: RwLock::new(held), skipped, ..DocumentStore::default() }
    }

    /// The documents of a folder with the changes that were made over HTTP, which are kept in the file `journal`.
    /// Lines of it that are damaged are left out, and given back as errors that name them. Where another process
    /// has it open, it is read, and nothing can be changed.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn open(knowledge: Knowledge, journal: &Path) -> Result<(Self, Vec<RagError>), RagError> {
        let mut store = Self::in_memory(knowledge);
        let (journal, records, damage) = Journal::open(journal)?;
        store.journal = Some(Mutex::new(journal));
        let mut held = std::mem::take(&mut store.held).into_inner().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            match record {
                Record::Stored { document, updated, file } => {
                    let document = Arc::new(document);
                    let id = document.id.clone();
                    held.insert(id, Held { document, origin: Origin::Api, updated, file });
                }
                Record::Deleted { id } => {
                    held.remove(&id);
                }
            }
        }
        store.held = RwLock::new(held);
        Ok((store, damage))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every document, in the order of their ids.
    pub fn documents(&self) -> Vec<Arc<Document>> {
        self.read().values().map(|held| held.document.clone()).collect()
    }

    /// What of the folder could not be read when it was, and why; see [`RagError::file_and_reason`].
    pub fn skipped(&self) -> &[RagError] {
        &self.skipped
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The document of that id; `snapshot` says how many passages it has.
    pub fn get(&self, id: &str, snapshot: &Snapshot) -> Option<StoredDocument> {
        Some(self.read().get(id)?.stored(snapshot))
    }

    /// At most `limit` documents from number `offset` on, of those that have every word of `query` in their title,
    /// id or source.
    pub fn list(&self, query: &str, offset: usize, limit: usize, snapshot: &Snapshot) -> DocumentPage {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let has_words = |held: &&Held| {
            let Document { id, title, source, .. } = held.document.as_ref();
            let place = format!("{title}\n{id}\n{source}").to_lowercase();
            words.iter().all(|word| place.contains(word.as_str()))
        };
        let held = self.read();
        let found: Vec<&Held> = held.values().filter(has_words).collect();
        let documents = found.iter().skip(offset).take(limit).map(|held| held.stored(snapshot)).collect();
        DocumentPage { documents, total: found.len() }
    }

    /// Ids of the documents that were uploaded in `file`.
    pub(crate) fn ids_of_file(&self, file: &str) -> Vec<String> {
        let held = self.read();
        let of_file = held.iter().filter(|(_, held)| held.file.as_deref() == Some(file));
        of_file.map(|(id, _)| id.clone()).collect()
    }

    /// The document of that id.
    pub(crate) fn document(&self, id: &str) -> Option<Arc<Document>> {
        self.read().get(id).map(|held| held.document.clone())
    }

    /// Waits until nobody else changes what has these names, and keeps others from it.
    pub(crate) fn reserve(&self, names: Vec<String>) -> Reservation<'_> {
        self.reservations.reserve(names)
    }

    /// Deletes and stores documents. When this returns, that survives the end of the process.
    ///
    /// # Errors
    /// If the journal cannot be written; then nothing has changed.
    pub(crate) fn change(
        &self,
        deleted: &[String],
        stored: &[Arc<Document>],
        file: Option<&str>,
    ) -> Result<(), RagError> {
        let updated = rfc3339(SystemTime::now());
        if let Some(journal) = &self.journal {
            let deleted = deleted.iter().map(|id| Record::Deleted { id: id.clone() });
            let stored = stored.iter().map(|document| Record::Stored {
                document: document.as_ref().clone(),
                updated: updated.clone(),
                file: file.map(str::to_string),
            });
            let records: Vec<Record> = deleted.chain(stored).collect();
            journal.lock().unwrap_or_else(PoisonError::into_inner).append(&records)?;
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        deleted.iter().for_each(|id| {
            held.remove(id);
        });
        for document in stored {
            let (document, updated, file) = (document.clone(), updated.clone(), file.map(str::to_string));
            let id = document.id.clone();
            held.insert(id, Held { document, origin: Origin::Api, updated, file });
        }
        Ok(())
    }
}

impl Held {
    fn stored(&self, snapshot: &Snapshot) -> StoredDocument {
        let Held { document, origin, updated, file } = self.clone();
        let passages = snapshot.find(&document.id).map_or(0, |found| found.chunks.len());
        StoredDocument { document, origin, updated, file, passages }
    }
}

impl<D: Borrow<Document>> From<&[D]> for DocumentStore {
    /// A store in memory, as if a folder had these documents.
    fn from(documents: &[D]) -> Self {
        let documents = documents.iter().map(|document| document.borrow().clone()).collect();
        DocumentStore::in_memory(Knowledge { documents, ..Knowledge::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, text: &str) -> Document {
        let (id, text) = (id.to_string(), text.to_string());
        Document { title: format!("About {id}"), source: id.clone(), id, text, ..Document::default() }
    }

    fn folder() -> Knowledge {
        let documents = vec![document("a", "from the folder"), document("b", "from the folder")];
        Knowledge { documents, ..Knowledge::default() }
    }

    fn held(store: &DocumentStore) -> Vec<(String, String, Origin)> {
        let documents = store.list("", 0, usize::MAX, &Snapshot::default()).documents;
        let text = |document: &StoredDocument| {
            (document.document.id.clone(), document.document.text.clone(), document.origin)
        };
        documents.iter().map(text).collect()
    }

    #[test]
    fn what_was_changed_is_there_after_a_restart_and_covers_the_folder() {
        let folder_on_disk = tempfile::tempdir().unwrap();
        let path = folder_on_disk.path().join("journal");
        let (store, damage) = DocumentStore::open(folder(), &path).unwrap();
        assert!(damage.is_empty());
        let new = [Arc::new(document("a", "edited")), Arc::new(document("c", "new"))];
        store.change(&["b".into()], &new, Some("upload.csv")).unwrap();
        store.change(&[], &[Arc::new(document("d", "gone soon"))], None).unwrap();
        store.change(&["d".into()], &[], None).unwrap();
        let expected = [
            ("a".to_string(), "edited".to_string(), Origin::Api),
            ("c".to_string(), "new".to_string(), Origin::Api),
        ];
        assert_eq!(held(&store), expected);
        assert_eq!(store.ids_of_file("upload.csv"), ["a", "c"]);
        drop(store);
        for _ in 0..2 {
            let (store, damage) = DocumentStore::open(folder(), &path).unwrap();
            assert!(damage.is_empty());
            assert_eq!(held(&store), expected);
            assert_eq!(store.ids_of_file("upload.csv"), ["a", "c"]);
        }
    }

    #[test]
    fn documents_are_listed_page_by_page() {
        let store = DocumentStore::in_memory(folder());
        store.change(&[], &[Arc::new(document("c", "new"))], None).unwrap();
        let ids = |query: &str, offset, limit| {
            let DocumentPage { documents, total } = store.list(query, offset, limit, &Snapshot::default());
            (
                documents.iter().map(|document| document.document.id.clone()).collect::<Vec<_>>().concat(),
                total,
            )
        };
        assert_eq!(ids("", 0, 2), ("ab".into(), 3));
        assert_eq!(ids("", 2, 2), ("c".into(), 3));
        assert_eq!(ids("", 9, 2), ("".into(), 3));
        assert_eq!(ids("ABOUT c", 0, 9), ("c".into(), 1));
        assert_eq!(ids("c folder", 0, 9), ("".into(), 0));
    }
}
