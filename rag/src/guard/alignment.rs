//! Finds the part of the passages that says what a sentence says.

use std::ops::Range;

use super::claim::{Claim, Term};
use super::evidence::{Clause, Evidence, Known};
use super::figure::Figure;
use super::polarity::is_opposite;

/// Most neighbouring units that together support a sentence.
const MOST_UNITS: usize = 3;

/// What a place that says the opposite loses: less than enough words, so that a better one is found, and it
/// is still told from places that say nothing.
const COST_OF_CONTRADICTION: f32 = 0.5;

/// What a further unit must add to the share of the words to be worth it.
const COST_OF_UNIT: f32 = 0.08;

/// A run of units of one passage and how well it supports a claim.
#[derive(Clone)]
pub(super) struct Alignment {
    pub passage: usize,
    pub units: Range<usize>,
    /// Share of the claim's words.
    pub words: f32,
    /// Figures of the claim, by their place in it, that stand neither in the passage nor in the question.
    pub missing: Vec<usize>,
    /// Figures of the claim that stand in the passage, but not in these units.
    pub away: usize,
    /// Whether the units say the opposite.
    pub contradicts: bool,
}

impl Alignment {
    /// Whether it supports the claim if `threshold` of the words suffice.
    pub fn supports(&self, threshold: f32) -> bool {
        self.missing.is_empty() && self.words >= threshold && !self.contradicts
    }

    /// Compares alignments of one claim; higher is better.
    pub fn score(&self) -> f32 {
        let units = self.units.len().saturating_sub(1) as f32;
        let faults = 4.0 * self.missing.len() as f32
            + self.away as f32
            + if self.contradicts { COST_OF_CONTRADICTION } else { 0.0 };
        self.words - COST_OF_UNIT * units - faults
    }
}

/// The best alignment of `claim` in each passage that has a word or figure of it.
pub(super) fn align(claim: &Claim, evidence: &Evidence) -> Vec<Alignment> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = evidence.units.get(start) {
        let passage = first.passage;
        let count = evidence.units[start..].iter().take_while(|known| known.passage == passage).count();
        found.extend(align_passage(claim, evidence, passage, start..start + count));
        start += count;
    }
    found
}

fn align_passage(
    claim: &Claim,
    evidence: &Evidence,
    passage: usize,
    units: Range<usize>,
) -> Option<Alignment> {
    let info = evidence.passages.get(passage)?;
    let terms = claim.terms(info.language);
    let content: Vec<&Term> = terms.iter().filter(|term| term.weight > 0.0).collect();
    let all: f32 = content.iter().map(|term| term.weight).sum();
    let known = &evidence.units[units.clone()];
    // Which units hold each word and each figure.
    let has_term: Vec<Vec<bool>> = content
        .iter()
        .map(|term| known.iter().map(|known| has_any(&known.stems, &term.stems)).collect())
        .collect();
    let figures: Vec<Vec<bool>> = claim
        .figures
        .iter()
        .map(|(_, figure)| {
            let named = is_named(figure, &info.words, evidence);
            known.iter().map(|known| named || stands(figure, &known.figures)).collect()
        })
        .collect();
    let asked: Vec<bool> = claim.figures.iter().map(|(_, figure)| stands(figure, &evidence.asked)).collect();
    let missing: Vec<usize> =
        (0..figures.len()).filter(|at| !asked[*at] && !figures[*at].iter().any(|has| *has)).collect();

    let mut best: Option<Alignment> = None;
    for first in 0..known.len() {
        for last in first..known.len().min(first + MOST_UNITS) {
            let holds = |has: &Vec<bool>| has[first..=last].iter().any(|has| *has);
            let covered: f32 =
                content.iter().zip(&has_term).filter(|(_, has)| holds(has)).map(|(t, _)| t.weight).sum();
            let words = if all > 0.0 { covered / all } else { 1.0 };
            let away = (0..figures.len())
                .filter(|at| !missing.contains(at) && !asked[*at] && !holds(&figures[*at]))
                .count();
            let range = units.start + first..units.start + last + 1;
            let missing = missing.clone();
            let mut found = Alignment { passage, units: range, words, missing, away, contradicts: false };
            // Polarity costs most to compare: only where it could be the best.
            if best.as_ref().is_some_and(|best| best.score() >= found.score()) {
                continue;
            }
            found.contradicts = contradicts(terms, &known[first..=last]);
            if best.as_ref().is_none_or(|best| found.score() > best.score()) {
                best = Some(found);
            }
        }
    }
    best.filter(|best| best.words > 0.0 || figures.iter().flatten().any(|has| *has))
}

/// Whether `figure` stands among `known`.
pub(super) fn stands(figure: &Figure, known: &[Figure]) -> bool {
    known.iter().any(|known| figure.stands_for(known))
}

/// Whether `figure` is a name whose words stand together in a passage's `words` or the question.
pub(super) fn is_named(figure: &Figure, words: &str, evidence: &Evidence) -> bool {
    match figure {
        Figure::Name(name) => words.contains(&format!(" {name} ")) || evidence.asks_for(name),
        _ => false,
    }
}

fn has_any(sorted: &[u32], wanted: &[u32]) -> bool {
    wanted.iter().any(|stem| sorted.binary_search(stem).is_ok())
}

/// Whether those clauses of `units` that match a claim's best have the other polarity, or any that touches it
/// has the opposite of a word of its ("before" for "after").
fn contradicts(terms: &[Term], units: &[Known]) -> bool {
    let last = terms.last().map_or(0, |term| term.word.clause);
    (0..=last).any(|clause| {
        let own: Vec<&Term> = terms.iter().filter(|term| term.word.clause == clause).collect();
        let content: Vec<&Term> = own.iter().copied().filter(|term| term.weight > 0.0).collect();
        let overlap =
            |known: &Clause| content.iter().filter(|term| has_any(&known.stems, &term.stems)).count();
        let most = units.iter().flat_map(|known| &known.clauses).map(overlap).max().unwrap_or(0);
        if most == 0 || 2 * most < content.len() {
            return false;
        }
        let is_negated = own.iter().any(|term| term.word.is_negation);
        let mut best = units.iter().flat_map(|known| &known.clauses).filter(|known| overlap(known) == most);
        let touching = || units.iter().flat_map(|known| &known.clauses).filter(|known| overlap(known) > 0);
        let has_pole = |word: &str| touching().any(|known| known.poles.iter().any(|pole| pole == word));
        let has_opposite = own.iter().any(|term| is_opposite(&term.word.lower, has_pole));
        has_opposite || !best.any(|known| known.is_negated == is_negated)
    })
}

/// Figures of a claim, by their place in it, that stand in a unit which tells of something else, while
/// another unit tells of what the claim says and has another figure of the kind: a neighbour's price.
pub(super) fn misplaced(claim: &Claim, evidence: &Evidence) -> Vec<usize> {
    let is_misplaced = |at: &usize| {
        let Some((range, figure)) = claim.figures.get(*at) else { return false };
        if matches!(figure, Figure::Name(_)) {
            return false;
        }
        let words = |known: &Known| -> Vec<bool> {
            let terms = claim.terms(
                evidence
                    .passages
                    .get(known.passage)
                    .map_or(crate::lexical::Language::Other, |passage| passage.language),
            );
            let statement = statement_of(terms, range);
            let own = terms.iter().filter(|term| term.word.statement == statement && term.weight > 0.0);
            own.map(|term| has_any(&known.stems, &term.stems)).collect()
        };
        let holding: Vec<Vec<bool>> =
            evidence.units.iter().filter(|known| stands(figure, &known.figures)).map(words).collect();
        let others = evidence.units.iter().filter(|known| {
            let like: Vec<&Figure> = known.figures.iter().filter(|known| figure.is_like(known)).collect();
            let is_said = |known: &&&Figure| claim.figures.iter().any(|(_, said)| said.stands_for(known));
            !like.is_empty()
                && !like.iter().any(|known| figure.stands_for(known))
                && !like.iter().all(|known| is_said(&known))
        });
        let others: Vec<Vec<bool>> = others.map(words).collect();
        if holding.is_empty() {
            // It stands in the question alone: "Within 60 days?" – "Yes, within 60 days".
            let is_denied =
                claim.readings.iter().flat_map(|(_, terms)| terms).any(|term| term.word.is_negation);
            let tells = |has: &Vec<bool>| 2 * has.iter().filter(|has| **has).count() > has.len();
            return !is_denied && stands(figure, &evidence.asked) && others.iter().any(tells);
        }
        holding.iter().all(|own| others.iter().any(|other| surpasses(other, own)))
    };
    (0..claim.figures.len()).filter(is_misplaced).collect()
}

/// Whether `other` has all that `own` has, and more.
fn surpasses(other: &[bool], own: &[bool]) -> bool {
    other.len() == own.len()
        && other.iter().zip(own).all(|(other, own)| *other || !own)
        && other.iter().zip(own).any(|(other, own)| *other && !own)
}

/// The statement that the figure at `range` belongs to.
fn statement_of(terms: &[Term], range: &Range<usize>) -> usize {
    let inside = terms.iter().find(|term| term.word.range.end > range.start);
    inside.or(terms.last()).map_or(0, |term| term.word.statement)
}
