//! The index: chunks, found by the cosine of their vectors.

mod file;
mod graph;
mod vector;

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use crate::chunk::chunk;
use crate::{Chunk, Document, Embedder, RagError};
use file::Key;
use graph::Graph;
pub(crate) use vector::UnitVector;

/// Most chunks that are searched by comparing the query with every one of them. Up to here that is exact
/// *and* faster than a graph, which costs minutes to build: with vectors of 384, measured on 2 busy
/// cores, 1.6 ms against 2.5 ms at 10,000 chunks, 9.4 ms against 11.7 ms at 30,000.
const EXACT_LIMIT: usize = 50_000;

/// Every chunk of a knowledge base with its vector.
///
/// It is built once and does not change; when the documents do, it is built anew.
#[derive(Debug)]
pub struct Index {
    chunks: Vec<Chunk>,
    vectors: Vec<UnitVector>,
    graph: Option<Graph>,
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
        cache: Option<&Path>,
    ) -> Result<(Index, IndexOrigin), RagError> {
        let Some(path) = cache else {
            let index = Index::build(documents, embedder)?;
            return Ok((index, IndexOrigin::Built { reason: "no cache is kept".into() }));
        };
        let key = Key::new(documents, embedder);
        let reason = match file::load(path, &key) {
            Ok(index) => return Ok((index, IndexOrigin::Cache)),
            Err(reason) => reason,
        };
        let index = Index::build(documents, embedder)?;
        file::save(path, &key, &index)?;
        Ok((index, IndexOrigin::Built { reason }))
    }

    /// Chunks and embeds `documents`.
    ///
    /// # Errors
    /// If the documents cannot be embedded.
    pub fn build(documents: &[Document], embedder: &dyn Embedder) -> Result<Index, RagError> {
        let mut chunks = Vec::new();
        for document in documents {
            chunks.extend(chunk(document, embedder)?);
        }
        let passages: Vec<String> =
            chunks.iter().map(|chunk| chunk.passage(embedder)).collect::<Result<_, _>>()?;
        let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
        let vectors = UnitVector::embed(embedder, &passages)?;
        let graph = (vectors.len() > EXACT_LIMIT).then(|| Graph::build(&vectors));
        Ok(Index { chunks, vectors, graph })
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

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
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
        };
        texts.iter().enumerate().map(document).collect()
    }

    fn best(index: &Index, query: &str) -> String {
        let query = UnitVector::embed(&BagOfWords::default(), &[query]).unwrap();
        let best = index.search(&query[0], 1)[0];
        index.chunk(best.chunk).unwrap().source.clone()
    }

    #[test]
    fn finds_the_chunk_that_shares_most_words_best_first() {
        let documents = documents(&["cancel an order", "track a parcel", "refund an order quickly"]);
        let index = Index::build(&documents, &BagOfWords::default()).unwrap();
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
            let (index, origin) = Index::open_or_build(&documents(texts), embedder, Some(&cache)).unwrap();
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
        let names: Vec<_> = std::fs::read_dir(cache.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_graph_is_kept_in_the_cache_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("index");
        let (documents, embedder) =
            (documents(&["cancel an order", "track a parcel"]), BagOfWords::default());
        let mut index = Index::build(&documents, &embedder).unwrap();
        index.graph = Some(Graph::build(&index.vectors));
        file::save(&cache, &Key::new(&documents, &embedder), &index).unwrap();
        let (again, origin) = Index::open_or_build(&documents, &embedder, Some(&cache)).unwrap();
        assert!(origin == IndexOrigin::Cache && again.graph.is_some());
        assert_eq!(again.vectors, index.vectors);
        assert_eq!(best(&again, "track my parcel"), "1.md");
    }

    #[test]
    fn a_damaged_cache_is_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("index");
        let documents = documents(&["cancel an order", "track a parcel"]);
        let open = || Index::open_or_build(&documents, &BagOfWords::default(), Some(&cache)).unwrap();
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
            let (index, seen) =
                Index::open_or_build(&documents(&[" "]), &BagOfWords::default(), Some(&cache)).unwrap();
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
        let error = Index::open_or_build(&documents(&["a"]), &BagOfWords::default(), Some(&cache));
        assert!(error.unwrap_err().to_string().starts_with(file.to_str().unwrap()));
    }
}
