//! The retriever: finds the passages that may answer a question.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use crate::bits::Bits;
use crate::embedder::likeness;
use crate::fusion::fuse;
use crate::lexical::{LexicalQuery, Words};
use crate::{
    Document, DocumentStore, Embedder, Filter, Index, IndexOptions, IndexOrigin, IndexedDocument, Knowledge,
    Metadata, RagError, Selection, Snapshot, UnitVector,
};

/// Nearest passages that the dense ranking of documents is made from, at least: several of a document may
/// be among them, and a graph gives as many at the price of one.
const NEAREST: usize = 128;

/// A passage that may answer the question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hit {
    /// The passage.
    pub text: String,
    /// Its document's title.
    pub title: String,
    /// Its document's source, to cite.
    pub source: String,
    /// Its document's id.
    pub document: String,
    /// Its number in the snapshot of the index that was searched.
    pub chunk: usize,
    /// The headings that it stands under, outermost first.
    pub headings: Vec<String>,
    /// Where it lies in the document's text, in bytes.
    pub range: Range<usize>,
    /// What its document's file says of it.
    pub metadata: Metadata,
    /// What each stage gave it.
    pub scores: Scores,
}

/// Scores of a hit by stage. Of each, higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Likeness of the question and the passage, in `[-1, 1]`: their cosine, on a scale on which what the embedder
    /// gives unrelated texts is 0.
    pub dense: f32,
    /// BM25 of the passage as a share of what a passage could have at most, in `[0, 1]`: about the share
    /// of the question's words, by their rarity, that the passage has.
    pub lexical: f32,
    /// Place of the document in the rankings together, in `[0, 1]`: 1 for the first of each. Hits are in
    /// the order of this one, except where [`Selection::lambda`] trades it for novelty.
    pub fused: f32,
}

/// A question that has been embedded, to be searched once or many times.
#[derive(Debug, Clone)]
pub struct Question {
    text: String,
    vector: UnitVector,
    /// The embedder's cosine of unrelated texts.
    unrelated: f32,
}

/// A knowledge base that can be searched.
pub struct Retriever {
    embedder: Box<dyn Embedder>,
    index: Index,
    store: DocumentStore,
    origin: IndexOrigin,
    selection: Selection,
}

/// A passage while it is chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    chunk: usize,
    /// Whether it has a product code of the question.
    has_code: bool,
    /// Its worth among the passages of its document.
    worth: f32,
    scores: Scores,
}

/// A search while its documents are ranked.
#[derive(Clone, Copy)]
struct Ranking<'a> {
    snapshot: &'a Snapshot,
    words: &'a Words<'a>,
    question: &'a Question,
    query: &'a LexicalQuery,
    selection: &'a Selection,
    filter: Option<Filter<'a>>,
}

impl Retriever {
    /// Reads the documents of `folder`, without those that cannot be read, and opens their index, which is
    /// kept in the folder `cache` if one is given.
    ///
    /// # Errors
    /// If no document can be read, one cannot be embedded, or `cache` cannot be written.
    pub fn open(
        folder: &Path,
        embedder: Box<dyn Embedder>,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<Self, RagError> {
        Self::with_store(DocumentStore::in_memory(Knowledge::read(folder)?), embedder, options, cache)
    }

    /// Opens the index of `documents`, which is kept in the folder `cache` if one is given.
    ///
    /// # Errors
    /// If a document cannot be embedded, or `cache` cannot be written.
    pub fn of(
        documents: &[Document],
        embedder: Box<dyn Embedder>,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<Self, RagError> {
        Self::with_store(documents.into(), embedder, options, cache)
    }

    /// Opens the index of the documents of `store`, which is kept in the folder `cache` if one is given.
    ///
    /// # Errors
    /// If a document cannot be embedded, or `cache` cannot be written.
    pub fn with_store(
        store: DocumentStore,
        embedder: Box<dyn Embedder>,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<Self, RagError> {
        let (index, origin) = Index::open_or_build(&store.documents(), embedder.as_ref(), options, cache)?;
        Ok(Retriever { embedder, index, store, origin, selection: Selection::default() })
    }

    /// The same, choosing by `selection`.
    ///
    /// # Errors
    /// If a field of it is out of range.
    pub fn with_selection(mut self, selection: Selection) -> Result<Self, RagError> {
        selection.validate()?;
        self.selection = selection;
        Ok(self)
    }

    /// At most `k` passages for `question`, best first; none if nothing in the knowledge base is near
    /// enough. Each document gives its best passage; only where there are fewer than `k` documents do
    /// further passages of the same ones follow. No text comes twice.
    ///
    /// # Errors
    /// If the question cannot be embedded.
    pub fn search(&self, question: &str, k: usize) -> Result<Vec<Hit>, RagError> {
        self.search_with(&self.embed(question)?, k, &self.selection)
    }

    /// Embeds a question.
    ///
    /// # Errors
    /// If it cannot be embedded.
    pub fn embed(&self, question: &str) -> Result<Question, RagError> {
        Question::new(&self.index.snapshot(), self.embedder.as_ref(), question)
    }

    /// As [`search`](Self::search), choosing by another selection than the retriever's own.
    ///
    /// # Errors
    /// If a field of `selection` is out of range.
    pub fn search_with(
        &self,
        question: &Question,
        k: usize,
        selection: &Selection,
    ) -> Result<Vec<Hit>, RagError> {
        self.search_among(question, k, selection, None)
    }

    /// As [`search_with`](Self::search_with), among the documents that `filter` lets through.
    ///
    /// # Errors
    /// If a field of `selection` is out of range.
    pub fn search_among(
        &self,
        question: &Question,
        k: usize,
        selection: &Selection,
        filter: Option<Filter>,
    ) -> Result<Vec<Hit>, RagError> {
        selection.validate()?;
        Ok(search(&self.index.snapshot(), question, k, selection, filter))
    }

    /// The passages to read for `question`: up to `passages` of each of the best `documents` documents, a
    /// document's together, in reading order, of those that `filter` lets through. Unlike [`search`](Self::search)
    /// nothing is left out for being far: whoever reads them decides.
    ///
    /// # Errors
    /// If a field of `selection` is out of range.
    pub fn read(
        &self,
        question: &Question,
        documents: usize,
        passages: usize,
        selection: &Selection,
        filter: Option<Filter>,
    ) -> Result<Vec<Hit>, RagError> {
        selection.validate()?;
        let snapshot = &self.index.snapshot();
        let words = snapshot.words();
        let query = words.query(&question.text);
        let search = Ranking { snapshot, words: &words, question, query: &query, selection, filter };
        let mut seen = HashSet::new();
        let mut hits = Vec::new();
        for (_, mut found) in search.rank().into_iter().take(documents) {
            found.truncate(passages);
            found.sort_by_key(|candidate| candidate.chunk);
            let found = found.into_iter().filter_map(|candidate| hit(snapshot, candidate));
            hits.extend(found.filter(|hit| seen.insert(hit.text.trim().to_string())));
        }
        Ok(hits)
    }

    /// Calls `each` with the passages of one document after the other, in reading order.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn for_each_document(
        &self,
        mut each: impl FnMut(&[Hit]) -> Result<(), RagError>,
    ) -> Result<(), RagError> {
        let snapshot = &self.index.snapshot();
        snapshot.documents().try_for_each(|document| each(&passages(snapshot, &document)))
    }

    /// The passages of a document, in reading order; none if it is not there.
    pub fn passages(&self, id: &str) -> Vec<Hit> {
        let snapshot = &self.index.snapshot();
        snapshot.find(id).map(|document| passages(snapshot, &document)).unwrap_or_default()
    }

    /// Where the index came from: its cache, or built anew and why.
    pub fn origin(&self) -> &IndexOrigin {
        &self.origin
    }

    /// What embeds its questions and passages.
    pub fn embedder(&self) -> &dyn Embedder {
        self.embedder.as_ref()
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The documents whole.
    pub fn store(&self) -> &DocumentStore {
        &self.store
    }
}

impl Question {
    /// Its vector, of unit length; empty for a question that is like nothing.
    pub fn vector(&self) -> &[f32] {
        self.vector.as_slice()
    }

    /// Embeds a question, without product codes that `snapshot` does not know.
    pub(crate) fn new(
        snapshot: &Snapshot,
        embedder: &dyn Embedder,
        text: &str,
    ) -> Result<Question, RagError> {
        let meaning = snapshot.words().meaning(text);
        let vector = match meaning.chars().any(char::is_alphanumeric) {
            true => UnitVector::of_question(embedder, &meaning)?,
            false => Vec::new().into(), // like nothing
        };
        Ok(Question { text: text.to_string(), vector, unrelated: embedder.unrelated_cosine() })
    }
}

/// The passages of `snapshot` for a question: see [`Retriever::search`].
pub(crate) fn search(
    snapshot: &Snapshot,
    question: &Question,
    k: usize,
    selection: &Selection,
    filter: Option<Filter>,
) -> Vec<Hit> {
    let words = snapshot.words();
    let query = words.query(&question.text);
    let search = Ranking { snapshot, words: &words, question, query: &query, selection, filter };
    let mut found = search.rank();
    for (_, passages) in &mut found {
        passages.retain(|passage| is_answer(passage, selection));
    }
    found.retain(|(_, passages)| !passages.is_empty());

    let mut seen = HashSet::new();
    let mut is_new = |candidate: &Candidate| {
        let chunk = snapshot.chunk(candidate.chunk);
        chunk.is_some_and(|chunk| seen.insert(chunk.text.trim().to_string()))
    };
    let firsts: Vec<Candidate> =
        found.iter().filter_map(|(_, passages)| passages.first()).copied().filter(&mut is_new).collect();
    let mut chosen = if selection.lambda < 1.0 {
        maximal_marginal_relevance(snapshot, firsts, k, selection.lambda)
    } else {
        firsts
    };
    let rounds = found.iter().map(|(_, passages)| passages.len()).max().unwrap_or_default();
    for round in 1..rounds {
        if chosen.len() >= k {
            break;
        }
        let next = found.iter().filter_map(|(_, passages)| passages.get(round)).copied();
        chosen.extend(next.filter(&mut is_new));
    }
    chosen.truncate(k);
    chosen.into_iter().filter_map(|candidate| hit(snapshot, candidate)).collect()
}

impl Ranking<'_> {
    /// Every document that a ranking has, best first, with its passages, best first.
    fn rank(&self) -> Vec<(usize, Vec<Candidate>)> {
        let Ranking { snapshot, words, query, selection, .. } = *self;
        let (documents, passages) = snapshot.numbers();
        let allowed = self.filter.map(|filter| snapshot.allowed(filter));
        let is_allowed =
            |document: usize| allowed.as_ref().is_none_or(|allowed: &Bits| allowed.has(document));
        let lexical = words.passages(query, passages);
        let codes = words.codes(query, passages);
        let weights = selection.weights;
        let dense = if weights.dense > 0.0 { self.dense() } else { Vec::new() };
        let by_passages = lexical.iter().copied().enumerate().filter(|(_, score)| *score > 0.0);
        let by_passages = best_per_document(by_passages, |chunk| snapshot.owner(chunk));
        let by_documents = words.documents(query, documents).into_iter().enumerate().collect();
        let positive = |scores: Vec<(usize, f32)>| {
            scores.into_iter().filter(|(document, score)| *score > 0.0 && is_allowed(*document)).collect()
        };
        let order = |scores| order(scores, selection.depth, snapshot);
        let rankings = [
            (weights.dense, order(dense)),
            (weights.passages, order(positive(by_passages))),
            (weights.documents, order(positive(by_documents))),
        ];

        let mut documents = Vec::new();
        for (document, mut fused) in fuse(&rankings, |a, b| snapshot.order_of_documents(a, b)) {
            let Some(chunks) = snapshot.document(document).map(|document| document.chunks) else { continue };
            let asked =
                codes.get(chunks.clone()).unwrap_or_default().iter().max().copied().unwrap_or_default();
            if query.has_code() {
                // Documents with a code of the question come before all others.
                fused = (fused + query.share_of_codes(asked)) / 2.0;
            }
            let lexical_weight = weights.passages + weights.documents;
            let passage = |chunk: usize| {
                let cosine = snapshot.cosine(chunk, &self.question.vector);
                let dense = likeness(cosine, self.question.unrelated);
                let lexical = lexical.get(chunk).copied().unwrap_or_default();
                let codes = codes.get(chunk).copied().unwrap_or_default();
                let worth = weights.dense * dense
                    + lexical_weight * lexical
                    + (weights.dense + lexical_weight) * codes as f32;
                Candidate { chunk, has_code: codes > 0, worth, scores: Scores { dense, lexical, fused } }
            };
            let mut passages: Vec<Candidate> = chunks.map(passage).collect();
            passages.sort_by(|a, b| b.worth.total_cmp(&a.worth)); // stable: equals stay in reading order
            documents.push((document, passages));
        }
        let fused = |(_, passages): &(usize, Vec<Candidate>)| {
            passages.first().map_or(0.0, |first| first.scores.fused)
        };
        documents.sort_by(|a, b| fused(b).total_cmp(&fused(a)));
        documents
    }

    /// Documents by their nearest passage, with the mean of all their passages mixed in.
    fn dense(&self) -> Vec<(usize, f32)> {
        let Ranking { snapshot, question, selection, .. } = *self;
        let near = snapshot.search(&question.vector, selection.depth.max(NEAREST), self.filter);
        let near = near.into_iter().map(|near| (near.chunk, near.score));
        let mut documents = best_per_document(near, |chunk| snapshot.owner(chunk));
        if selection.document_mean > 0.0 {
            for (document, score) in &mut documents {
                let chunks = snapshot.document(*document).map_or(0..0, |document| document.chunks);
                let vectors: Vec<UnitVector> = chunks.filter_map(|chunk| snapshot.vector(chunk)).collect();
                let mean = UnitVector::mean(&vectors).cosine(&question.vector);
                *score += selection.document_mean * (mean - *score);
            }
        }
        documents
    }
}

/// The passages of a document without scores.
fn passages(snapshot: &Snapshot, document: &IndexedDocument) -> Vec<Hit> {
    let candidate = |chunk| Candidate { chunk, has_code: false, worth: 0.0, scores: Scores::default() };
    document.chunks.clone().filter_map(|chunk| hit(snapshot, candidate(chunk))).collect()
}

fn hit(snapshot: &Snapshot, candidate: Candidate) -> Option<Hit> {
    let chunk = snapshot.chunk(candidate.chunk)?;
    Some(Hit {
        text: chunk.text,
        title: chunk.title,
        source: chunk.source,
        document: chunk.document,
        chunk: candidate.chunk,
        headings: chunk.headings,
        range: chunk.range,
        metadata: chunk.metadata,
        scores: candidate.scores,
    })
}

/// Takes `k` of `candidates` one by one, each time the one with the largest
///
/// `lambda · relevance(candidate) - (1 - lambda) · max over the chosen of cos(candidate, chosen)`
///
/// where the relevance is the fused score as a share of the best one.
///
/// Source: Carbonell & Goldstein 1998, "The use of MMR", eq. 1.
fn maximal_marginal_relevance(
    snapshot: &Snapshot,
    mut candidates: Vec<Candidate>,
    k: usize,
    lambda: f32,
) -> Vec<Candidate> {
    let likeness = |a: &Candidate, b: &Candidate| {
        snapshot.vector(a.chunk).map_or(0.0, |vector| snapshot.cosine(b.chunk, &vector))
    };
    let best = candidates.first().map_or(1.0, |first| first.scores.fused).max(f32::MIN_POSITIVE);
    let mut chosen: Vec<Candidate> = Vec::new();
    while chosen.len() < k {
        let marginal = |candidate: &Candidate| {
            let known = chosen.iter().map(|chosen| likeness(candidate, chosen)).reduce(f32::max);
            lambda * candidate.scores.fused / best - (1.0 - lambda) * known.unwrap_or(0.0)
        };
        // `max_by` keeps the last of equals; reversed, that is the best one.
        let gains = candidates.iter().map(marginal).enumerate().rev();
        let Some((next, _)) = gains.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        chosen.push(candidates.remove(next));
    }
    chosen
}

/// Whether a passage may be shown.
fn is_answer(passage: &Candidate, selection: &Selection) -> bool {
    let Scores { dense, lexical, .. } = passage.scores;
    dense >= selection.min_score || lexical >= selection.min_lexical || passage.has_code
}

/// The best score of each document's passages.
fn best_per_document(
    passages: impl Iterator<Item = (usize, f32)>,
    owner: impl Fn(usize) -> Option<usize>,
) -> Vec<(usize, f32)> {
    let mut best: HashMap<usize, f32> = HashMap::new();
    for (chunk, score) in passages {
        if let Some(document) = owner(chunk) {
            best.entry(document).and_modify(|best| *best = best.max(score)).or_insert(score);
        }
    }
    best.into_iter().collect()
}

/// The `depth` documents of the highest scores, best first, equals in the order of their ids.
fn order(mut scores: Vec<(usize, f32)>, depth: usize, snapshot: &Snapshot) -> Vec<usize> {
    let best_first = |a: &(usize, f32), b: &(usize, f32)| -> Ordering {
        b.1.total_cmp(&a.1).then_with(|| snapshot.order_of_documents(a.0, b.0))
    };
    scores.sort_unstable_by(best_first);
    scores.truncate(depth);
    scores.into_iter().map(|(document, _)| document).collect()
}

#[cfg(test)]
mod tests;
