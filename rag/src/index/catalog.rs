//! Which documents an index has, and which chunks are whose.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A document of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedDocument {
    /// The document's id.
    pub id: String,
    /// The numbers of its chunks.
    pub chunks: Range<usize>,
}

/// The documents in the order they were given in; the chunks of each follow those of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    documents: Vec<IndexedDocument>,
    /// For each chunk, its document.
    owners: Vec<usize>,
}

impl Catalog {
    /// Checks that the documents divide `total` chunks among them.
    pub fn new(documents: Vec<IndexedDocument>, total: usize) -> Result<Self, String> {
        let mut owners = Vec::with_capacity(total);
        for (number, IndexedDocument { id, chunks }) in documents.iter().enumerate() {
            if chunks.start != owners.len() || chunks.end < chunks.start || chunks.end > total {
                return Err(format!(
                    "document {id} has the chunks {chunks:?}, expected {}.. of {total}",
                    owners.len()
                ));
            }
            owners.extend(chunks.clone().map(|_| number));
        }
        if owners.len() != total {
            return Err(format!("{} chunks are divided among documents, of {total}", owners.len()));
        }
        Ok(Catalog { documents, owners })
    }

    pub fn documents(&self) -> &[IndexedDocument] {
        &self.documents
    }

    pub fn owner(&self, chunk: usize) -> Option<usize> {
        self.owners.get(chunk).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, chunks: Range<usize>) -> IndexedDocument {
        IndexedDocument { id: id.into(), chunks }
    }

    #[test]
    fn every_chunk_has_its_document() {
        let documents = vec![document("a", 0..2), document("empty", 2..2), document("b", 2..3)];
        let catalog = Catalog::new(documents, 3).unwrap();
        let owners: Vec<_> = (0..4).map(|chunk| catalog.owner(chunk)).collect();
        assert_eq!(owners, [Some(0), Some(0), Some(2), None]);
    }

    #[test]
    fn documents_that_do_not_divide_the_chunks_are_refused() {
        assert!(Catalog::new(vec![document("a", 0..2)], 3).is_err());
        assert!(Catalog::new(vec![document("a", 1..3)], 3).unwrap_err().contains("document a"));
        let backwards = document("b", Range { start: 2, end: 1 });
        assert!(Catalog::new(vec![document("a", 0..2), backwards], 1).is_err());
        assert!(Catalog::new(vec![document("a", 0..usize::MAX)], 2).is_err());
    }
}
