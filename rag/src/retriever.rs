//! The retriever: finds the passages that may answer a question.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use crate::fusion::fuse;
use crate::index::UnitVector;
use crate::lexical::LexicalQuery;
use crate::{Document, Embedder, Index, IndexOptions, IndexOrigin, Knowledge, Metadata, RagError, Selection};

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
    /// Its number in the index.
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
    /// Cosine of the question and the passage, in `[-1, 1]`.
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
}

/// A knowledge base that can be searched.
pub struct Retriever {
    embedder: Box<dyn Embedder>,
    index: Index,
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

impl Retriever {
    /// Reads the documents of `folder`, without those that cannot be read, and opens their index, which is
    /// kept in the file `cache` if one is given.
    ///
    /// # Errors
    /// If no document can be read, one cannot be embedded, or `cache` cannot be written.
    pub fn open(
        folder: &Path,
        embedder: Box<dyn Embedder>,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<Self, RagError> {
        Self::of(&Knowledge::read(folder)?.documents, embedder, options, cache)
    }

    /// Opens the index of `documents`, which is kept in the file `cache` if one is given.
    ///
    /// # Errors
    /// If a document cannot be embedded, or `cache` cannot be written.
    pub fn of(
        documents: &[Document],
        embedder: Box<dyn Embedder>,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<Self, RagError> {
        let (index, origin) = Index::open_or_build(documents, embedder.as_ref(), options, cache)?;
        Ok(Retriever { embedder, index, origin, selection: Selection::default() })
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
        let meaning = self.index.lexicon().meaning(question);
        let vector = match meaning.chars().any(char::is_alphanumeric) {
            true => UnitVector::embed(self.embedder.as_ref(), &[meaning.as_str()])?.pop(),
            false => None, // like nothing
        };
        let vector = vector.unwrap_or_else(|| Vec::new().into());
        Ok(Question { text: question.to_string(), vector })
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
        selection.validate()?;
        let query = self.index.lexicon().query(&question.text);
        let mut found = self.rank(question, &query, selection);
        for (_, passages) in &mut found {
            passages.retain(|passage| is_answer(passage, selection));
        }
        found.retain(|(_, passages)| !passages.is_empty());

        let mut seen = HashSet::new();
        let mut is_new = |candidate: &Candidate| {
            self.index.chunk(candidate.chunk).is_some_and(|chunk| seen.insert(chunk.text.trim()))
        };
        let firsts: Vec<Candidate> =
            found.iter().filter_map(|(_, passages)| passages.first()).copied().filter(&mut is_new).collect();
        let mut chosen = if selection.lambda < 1.0 {
            self.maximal_marginal_relevance(firsts, k, selection.lambda)
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
        Ok(chosen.into_iter().filter_map(|candidate| self.hit(candidate)).collect())
    }

    /// Every document that a ranking has, best first, with its passages, best first.
    fn rank(
        &self,
        question: &Question,
        query: &LexicalQuery,
        selection: &Selection,
    ) -> Vec<(usize, Vec<Candidate>)> {
        let lexicon = self.index.lexicon();
        let lexical = lexicon.passages(query);
        let codes = lexicon.codes(query);
        let weights = selection.weights;
        let dense = if weights.dense > 0.0 { self.dense(question, selection) } else { Vec::new() };
        let by_passages =
            best_per_document(lexical.iter().copied().enumerate(), |chunk| self.index.owner(chunk));
        let by_documents = lexicon.documents(query).into_iter().enumerate().collect();
        let positive =
            |scores: Vec<(usize, f32)>| scores.into_iter().filter(|(_, score)| *score > 0.0).collect();
        let order = |scores| order(scores, selection.depth);
        let rankings = [
            (weights.dense, order(dense)),
            (weights.passages, order(positive(by_passages))),
            (weights.documents, order(positive(by_documents))),
        ];

        let mut documents = Vec::new();
        for (document, mut fused) in fuse(&rankings) {
            let Some(chunks) = self.index.documents().get(document).map(|document| document.chunks.clone())
            else {
                continue;
            };
            let asked =
                codes.get(chunks.clone()).unwrap_or_default().iter().max().copied().unwrap_or_default();
            if query.has_code() {
                // Documents with a code of the question come before all others.
                fused = (fused + query.share_of_codes(asked)) / 2.0;
            }
            let lexical_weight = weights.passages + weights.documents;
            let passage = |chunk: usize| {
                let vector = self.index.vector(chunk);
                let dense = vector.map_or(0.0, |vector| vector.cosine(&question.vector).clamp(-1.0, 1.0));
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
    fn dense(&self, question: &Question, selection: &Selection) -> Vec<(usize, f32)> {
        let near = self.index.search(&question.vector, selection.depth.max(NEAREST));
        let near = near.into_iter().map(|near| (near.chunk, near.score));
        let mut documents = best_per_document(near, |chunk| self.index.owner(chunk));
        if selection.document_mean > 0.0 {
            for (document, score) in &mut documents {
                let mean = self.index.mean(*document).map_or(0.0, |mean| mean.cosine(&question.vector));
                *score += selection.document_mean * (mean - *score);
            }
        }
        documents
    }

    fn hit(&self, candidate: Candidate) -> Option<Hit> {
        let chunk = self.index.chunk(candidate.chunk)?;
        let document = self.index.documents().get(self.index.owner(candidate.chunk)?)?;
        Some(Hit {
            text: chunk.text.clone(),
            title: chunk.title.clone(),
            source: chunk.source.clone(),
            document: document.id.clone(),
            chunk: candidate.chunk,
            headings: chunk.headings.clone(),
            range: chunk.range.clone(),
            metadata: chunk.metadata.clone(),
            scores: candidate.scores,
        })
    }

    /// Where the index came from: its cache, or built anew and why.
    pub fn origin(&self) -> &IndexOrigin {
        &self.origin
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Takes `k` of `candidates` one by one, each time the one with the largest
    ///
    /// `lambda · relevance(candidate) - (1 - lambda) · max over the chosen of cos(candidate, chosen)`
    ///
    /// where the relevance is the fused score as a share of the best one.
    ///
    /// Source: Carbonell & Goldstein 1998, "The use of MMR", eq. 1.
    fn maximal_marginal_relevance(
        &self,
        mut candidates: Vec<Candidate>,
        k: usize,
        lambda: f32,
    ) -> Vec<Candidate> {
        let likeness = |a: &Candidate, b: &Candidate| {
            let pair = self.index.vector(a.chunk).zip(self.index.vector(b.chunk));
            pair.map_or(0.0, |(a, b)| a.cosine(b))
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

/// The `depth` documents of the highest scores, best first, among equals the earlier one.
fn order(mut scores: Vec<(usize, f32)>, depth: usize) -> Vec<usize> {
    let best_first =
        |a: &(usize, f32), b: &(usize, f32)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
    scores.sort_unstable_by(best_first);
    scores.truncate(depth);
    scores.into_iter().map(|(document, _)| document).collect()
}

#[cfg(test)]
mod tests;
