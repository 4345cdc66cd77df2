//! Evidence: which sentences of the passages found answer a question, and whether any does.
//!
//! The walk: [`Hit`]s → their [units](crate::units) with vectors → numbers of each (`features`) → probabilities
//! (`model`), those of no answer among them; the likeliest read again (`reranking`).

mod asked;
mod choice;
mod features;
mod fit;
mod model;
mod offered;
mod reranking;
mod unit_store;

use std::ops::Range;
use std::sync::Arc;

pub use choice::Choice;
pub use features::Features;
pub use fit::{Example, fit};
pub use model::EvidenceWeights;
pub use reranking::{ReadExample, Reranker, RerankingWeights, fit_reranking};

use crate::{Embedder, Hit, RagError};
use asked::Asked;
use features::{Candidate, features};
use model::softmax;
use unit_store::{StoredUnit, UnitStore};

/// A sentence, list item or table row that may answer the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Which of the hits it stands in.
    pub hit: usize,
    /// Where in its passage, in bytes.
    pub range: Range<usize>,
    /// As it can be read alone.
    pub text: String,
    /// Probability that it answers, in `[0, 1]`; with those of all others and of no answer 1.
    pub probability: f32,
}

/// What the passages hold for a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Every unit of the passages, the likeliest first.
    pub evidence: Vec<Evidence>,
    /// Probability that none of them answers, in `[0, 1]`.
    pub no_answer: f32,
    /// Whether the question asks how something is done.
    pub asks_how: bool,
}

/// A question as evidence is sought for it.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The customer's words.
    pub question: &'a str,
    /// Their vector.
    pub vector: &'a [f32],
    /// The question that they refer to, if they do, and the vector of both together.
    pub before: Option<(&'a str, &'a [f32])>,
}

impl Sought<'_> {
    /// The question under the one that it refers to.
    pub fn text(&self) -> String {
        self.before.map_or(self.question.to_string(), |(before, _)| format!("{before}\n{}", self.question))
    }
}

/// A unit of a passage, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitText {
    /// Which of the hits it stands in.
    pub hit: usize,
    /// As it can be read alone.
    pub text: String,
    /// The same under its title and headings.
    pub titled: String,
}

/// Finds evidence.
pub struct EvidenceFinder {
    weights: EvidenceWeights,
    reranker: Option<Reranker>,
    units: UnitStore,
}

impl EvidenceFinder {
    /// One that judges by `weights`.
    pub fn new(weights: EvidenceWeights) -> Self {
        EvidenceFinder { weights, reranker: None, units: UnitStore::default() }
    }

    /// One that has the likeliest evidence read again.
    pub fn with_reranker(self, reranker: Reranker) -> Self {
        EvidenceFinder { reranker: Some(reranker), ..self }
    }

    /// What reads the likeliest evidence again.
    pub fn reranker(&self) -> Option<&Reranker> {
        self.reranker.as_ref()
    }

    /// The weights that it judges by.
    pub fn weights(&self) -> &EvidenceWeights {
        &self.weights
    }

    /// What `hits` hold for a question.
    ///
    /// # Errors
    /// If a unit cannot be embedded.
    pub fn find(&self, sought: Sought, hits: &[Hit], embedder: &dyn Embedder) -> Result<Findings, RagError> {
        let units = self.units.of(hits, embedder)?;
        let candidates = candidates(&units);
        let features = features(sought, hits, &candidates, embedder.unrelated_cosine());
        let scores = self.weights.scores(&features);
        let (probabilities, no_answer) = match &self.reranker {
            None => softmax(&scores.0, scores.1),
            Some(reranker) => {
                let text = |index: usize| candidates[index].unit.titled_text();
                reranker.probabilities(&sought.text(), text, &scores)?
            }
        };
        let mut evidence: Vec<Evidence> = candidates
            .iter()
            .zip(probabilities)
            .map(|(candidate, probability)| Evidence {
                hit: candidate.hit,
                range: candidate.unit.range.clone(),
                text: candidate.unit.text.clone(),
                probability,
            })
            .collect();
        evidence.sort_by(|a, b| b.probability.total_cmp(&a.probability)); // stable: equals in reading order
        let asks_how = Asked::of(sought.question, sought.before.map(|(before, _)| before)).is_how();
        Ok(Findings { evidence, no_answer, asks_how })
    }

    /// The units of `hits` with their numbers, to fit weights to.
    ///
    /// # Errors
    /// If a unit cannot be embedded.
    pub fn features(
        &self,
        sought: Sought,
        hits: &[Hit],
        embedder: &dyn Embedder,
    ) -> Result<(Features, Vec<UnitText>), RagError> {
        let units = self.units.of(hits, embedder)?;
        let candidates = candidates(&units);
        let text = |Candidate { hit, unit, .. }: &Candidate| UnitText {
            hit: *hit,
            text: unit.text.clone(),
            titled: unit.titled_text(),
        };
        let texts = candidates.iter().map(text).collect();
        Ok((features(sought, hits, &candidates, embedder.unrelated_cosine()), texts))
    }

    /// Embeds the units of the passages of `document` ahead of questions, and lets go of those that it had before.
    ///
    /// # Errors
    /// If one cannot be embedded.
    pub fn prepare(&self, document: &str, hits: &[Hit], embedder: &dyn Embedder) -> Result<(), RagError> {
        self.units.prepare(document, hits, embedder)
    }

    /// Lets go of the units of a document that is gone.
    pub fn forget(&self, document: &str) {
        self.units.forget(document);
    }

    /// Passages whose units are kept in memory.
    pub fn prepared(&self) -> usize {
        self.units.len()
    }
}

fn candidates(units: &[Arc<[StoredUnit]>]) -> Vec<Candidate<'_>> {
    let mut candidates = Vec::new();
    for (hit, units) in units.iter().enumerate() {
        for (at, unit) in units.iter().enumerate() {
            candidates.push(Candidate { hit, unit, is_first: at == 0 });
        }
    }
    candidates
}
