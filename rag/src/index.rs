//! The index: chunks, found by the cosine of their vectors and by their words.

mod catalog;
mod file;
mod graph;
mod vector;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use crate::chunk::chunk;
use crate::lexical::Lexicon;
use crate::{Chunk, Document, Embedder, RagError};
use catalog::Catalog;
pub use catalog::IndexedDocument;
use file::Key;
use graph::Graph;
pub(crate) use vector::UnitVector;

/// Most chunks that are searched by comparing the query with every one of them. Up to here that is exact
/// *and* faster than a graph, which costs minutes to build: with vectors of 384, measured on 2 busy
/// cores, 1.6 ms against 2.5 ms at 10,000 chunks, 9.4 ms against 11.7 ms at 30,000.
const EXACT_LIMIT: usize = 50_000;

/// Every chunk of a knowledge base with its vector, and the words of them all.
///
/// It is built once and does not change; when the documents do, it is built anew.
#[derive(Debug)]
pub struct Index {
    chunks: Vec<Chunk>,
    vectors: Vec<UnitVector>,
    graph: Option<Graph>,
    catalog: Catalog,
    lexicon: Lexicon,
    /// For each document, the mean of its chunks' vectors.
    means: Vec<UnitVector>,
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
    /// Its number in the index.
    pub chunk: usize,
    /// Cosine of its vector and the query's, in `[-1, 1]`: higher is better.
    pub score: f32,
}

impl Match {
    /// Best first; among equals, the earlier chunk.
    fn order(&self, other: &Match) -> Ordering {
        other.score.total_cmp(&self.score).then(self.chunk.cmp(&other.chunk))
    }
}

/// Where an index came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOrigin {
    /// Read from its file, which was up to date.
    Cache,
    /// Built from the documents.
    Built {
        /// Why the file could not be used, as a clause: `the documents have changed`.
        reason: String,
    },
}

impl fmt::Display for IndexOrigin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            IndexOrigin::Cache => write!(f, "index read from its cache"),
            IndexOrigin::Built { reason } => write!(f, "index built: {reason}"),
        }
    }
}

impl Index {
    /// The index of `documents`: read from `cache` if that was built from the same documents with the
    /// same embedder, else built, and written to `cache` if there is one.
    ///
    /// # Errors
    /// If the documents cannot be embedded or `cache` cannot be written. A cache that cannot be used
    /// is no error; [`IndexOrigin`] says what was wrong with it.
    pub fn open_or_build(
        documents: &[Document],
        embedder: &dyn Embedder,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<(Index, IndexOrigin), RagError> {
        let Some(path) = cache else {
            let index = Index::build(documents, embedder, options)?;
            return Ok((index, IndexOrigin::Built { reason: "no cache is kept".into() }));
        };
        let key = Key::new(documents, embedder, options);
        let reason = match file::load(path, &key) {
            Ok(index) => return Ok((index, IndexOrigin::Cache)),
            Err(reason) => reason,
        };
        let index = Index::build(documents, embedder, options)?;
        file::save(path, &key, &index)?;
        Ok((index, IndexOrigin::Built { reason }))
    }

    /// Chunks and embeds `documents`.
    ///
    /// # Errors
    /// If the documents cannot be embedded.
    pub fn build(
        documents: &[Document],
        embedder: &dyn Embedder,
        options: IndexOptions,
    ) -> Result<Index, RagError> {
        let mut chunks = Vec::new();
        let mut indexed = Vec::with_capacity(documents.len());
        let mut lexicon = Lexicon::default();
        let mut seen = HashSet::new();
        for document in documents {
            let own = chunk(document, embedder)?;
            let language = document.metadata.language.as_deref();
            lexicon.add((&document.title, &document.text), language, own.iter().map(words_of), &mut seen);
            let start = chunks.len();
            chunks.extend(own);
            indexed.push(IndexedDocument { id: document.id.clone(), chunks: start..chunks.len() });
        }
        let passage = |chunk: &Chunk| match options.embed_titles {
            true => chunk.passage(embedder),
            false => Ok(chunk.text.clone()),
        };
        let passages: Vec<String> = chunks.iter().map(passage).collect::<Result<_, _>>()?;
        let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
        let vectors = UnitVector::embed(embedder, &passages)?;
        let graph = (vectors.len() > EXACT_LIMIT).then(|| Graph::build(&vectors));
        Index::from_parts(chunks, vectors, graph, indexed, lexicon)
            .map_err(|reason| RagError::Embedding { embedder: embedder.id().into(), reason })
    }

    /// Puts an index together, or says which parts do not fit.
    fn from_parts(
        chunks: Vec<Chunk>,
        vectors: Vec<UnitVector>,
        graph: Option<Graph>,
        documents: Vec<IndexedDocument>,
        lexicon: Lexicon,
    ) -> Result<Index, String> {
        if vectors.len() != chunks.len() {
            return Err(format!("{} vectors for {} chunks", vectors.len(), chunks.len()));
        }
        let catalog = Catalog::new(documents, chunks.len())?;
        let (documents, passages) = lexicon.len();
        if (documents, passages) != (catalog.documents().len(), chunks.len()) {
            return Err(format!("the words of {documents} documents and {passages} chunks"));
        }
        let own = |document: &IndexedDocument| vectors.get(document.chunks.clone()).unwrap_or_default();
        let means = catalog.documents().iter().map(|document| UnitVector::mean(own(document))).collect();
        Ok(Index { chunks, vectors, graph, catalog, lexicon, means })
    }

    /// The `k` chunks nearest to `query`, best first; fewer if the index has fewer.
    pub(crate) fn search(&self, query: &UnitVector, k: usize) -> Vec<Match> {
        match &self.graph {
            Some(graph) if k <= Graph::MAX_RESULTS => graph.search(query, k),
            _ => exact_search(&self.vectors, query, k),
        }
    }

    /// The chunk of that number.
    pub fn chunk(&self, number: usize) -> Option<&Chunk> {
        self.chunks.get(number)
    }

    /// The vector of that chunk.
    pub(crate) fn vector(&self, number: usize) -> Option<&UnitVector> {
        self.vectors.get(number)
    }

    /// The documents, in the order that their numbers say.
    pub fn documents(&self) -> &[IndexedDocument] {
        self.catalog.documents()
    }

    /// The number of the document that a chunk is of.
    pub(crate) fn owner(&self, chunk: usize) -> Option<usize> {
        self.catalog.owner(chunk)
    }

    /// The mean of a document's vectors.
    pub(crate) fn mean(&self, document: usize) -> Option<&UnitVector> {
        self.means.get(document)
    }

    /// The words.
    pub(crate) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// A chunk's text, and the same under its title and the headings that the cut took from it, whose words
/// count as its own.
fn words_of(chunk: &Chunk) -> (&str, String) {
    let lost = chunk.headings.iter().filter(|heading| !chunk.text.contains(heading.as_str()));
    let path: Vec<&str> = std::iter::once(&chunk.title).chain(lost).map(String::as_str).collect();
    (&chunk.text, format!("{}\n{}", path.join("\n"), chunk.text))
}

/// Compares `query` with every vector: the exact result, which the graph approximates.
fn exact_search(vectors: &[UnitVector], query: &UnitVector, k: usize) -> Vec<Match> {
    let score = |(chunk, vector): (usize, &UnitVector)| Match { chunk, score: query.cosine(vector) };
    let mut matches: Vec<Match> = vectors.iter().enumerate().map(score).collect();
    if k < matches.len() {
        matches.select_nth_unstable_by(k, Match::order);
        matches.truncate(k);
    }
    matches.sort_unstable_by(Match::order);
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag_of_words::BagOfWords;

    fn documents(texts: &[&str]) -> Vec<Document> {
        let document = |(n, text): (usize, &&str)| Document {
            id: n.to_string(),
            title: format!("t{n}"),
            text: text.to_string(),
            source: format!("{n}.md"),
            ..Document::default()
        };
        texts.iter().enumerate().map(document).collect()
    }

    fn open_or_build(
        documents: &[Document],
        embedder: &BagOfWords,
        cache: &Path,
    ) -> Result<(Index, IndexOrigin), RagError> {
        Index::open_or_build(documents, embedder, IndexOptions::default(), Some(cache))
    }

    fn best(index: &Index, query: &str) -> String {
        let query = UnitVector::embed(&BagOfWords::default(), &[query]).unwrap();
        let best = index.search(&query[0], 1)[0];
        index.chunk(best.chunk).unwrap().source.clone()
    }

    #[test]
    fn finds_the_chunk_that_shares_most_words_best_first() {
        let documents = documents(&["cancel an order", "track a parcel", "refund an order quickly"]);
        let index = Index::build(&documents, &BagOfWords::default(), IndexOptions::default()).unwrap();
        assert_eq!(best(&index, "track my parcel"), "1.md");
        let query = UnitVector::embed(&BagOfWords::default(), &["refund an order"]).unwrap();
        let found = index.search(&query[0], 10);
        assert_eq!(found.iter().map(|found| found.chunk).collect::<Vec<_>>(), [2, 0, 1]);
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        assert!(found.iter().all(|found| (-1.0..=1.0001).contains(&found.score)));
        assert_eq!(index.search(&query[0], 0), []);
    }

    #[test]
    fn is_read_back_from_its_cache_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("new/folder/index");
        let open = |texts: &[&str], embedder: &BagOfWords| {
            let (index, origin) = open_or_build(&documents(texts), embedder, &cache).unwrap();
            assert_eq!(best(&index, "track my parcel"), "1.md");
            origin.to_string()
        };
        let texts = ["cancel an order", "track a parcel"];
        let same = BagOfWords::default();
        assert_eq!(open(&texts, &same), "index built: for the first time");
        assert_eq!(open(&texts, &same), "index read from its cache");

        let more = ["cancel an order", "track a parcel", "refund"];
        assert_eq!(open(&more, &same), "index built: the documents have changed");
        let other = BagOfWords { id: "other".into(), ..BagOfWords::default() };
        assert_eq!(
            open(&more, &other),
            "index built: the embedder has changed from `bag-of-words` to `other`"
        );
        assert_eq!(open(&more, &other), "index read from its cache");
        let bare = IndexOptions { embed_titles: false };
        let (_, origin) = Index::open_or_build(&documents(&more), &other, bare, Some(&cache)).unwrap();
        assert_eq!(
            origin.to_string(),
            "index built: what is embedded has changed from `titles and text` to `text`"
        );
        let names: Vec<_> = std::fs::read_dir(cache.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_graph_is_kept_in_the_cache_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("index");
        let (documents, embedder) =
            (documents(&["cancel an order", "track a parcel"]), BagOfWords::default());
        let mut index = Index::build(&documents, &embedder, IndexOptions::default()).unwrap();
        index.graph = Some(Graph::build(&index.vectors));
        file::save(&cache, &Key::new(&documents, &embedder, IndexOptions::default()), &index).unwrap();
        let (again, origin) = open_or_build(&documents, &embedder, &cache).unwrap();
        assert!(origin == IndexOrigin::Cache && again.graph.is_some());
        assert_eq!(again.vectors, index.vectors);
        assert_eq!(best(&again, "track my parcel"), "1.md");
    }

    #[test]
    fn a_damaged_cache_is_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("index");
        let documents = documents(&["cancel an order", "track a parcel"]);
        let open = || open_or_build(&documents, &BagOfWords::default(), &cache).unwrap();
        open();
        let whole = std::fs::read(&cache).unwrap();
        let mut one_bit = whole.clone();
        one_bit[whole.len() - 100] ^= 1;
        let damaged = [whole[..whole.len() - 1].to_vec(), one_bit, Vec::new(), b"{}".to_vec()];
        for bytes in damaged {
            std::fs::write(&cache, bytes).unwrap();
            let (index, origin) = open();
            assert!(origin.to_string().contains("index is not a readable index"), "{origin}");
            assert_eq!(index.len(), 2);
            assert_eq!(open().1, IndexOrigin::Cache);
        }
    }

    #[test]
    fn a_knowledge_base_without_words_finds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("index");
        for origin in ["index built: for the first time", "index read from its cache"] {
            let (index, seen) = open_or_build(&documents(&[" "]), &BagOfWords::default(), &cache).unwrap();
            assert_eq!(seen.to_string(), origin);
            let query = UnitVector::embed(&BagOfWords::default(), &["parcel"]).unwrap();
            assert!(index.is_empty() && index.search(&query[0], 3).is_empty());
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let cache = file.join("index");
        let error = open_or_build(&documents(&["a"]), &BagOfWords::default(), &cache);
        assert!(error.unwrap_err().to_string().starts_with(file.to_str().unwrap()));
    }
}
