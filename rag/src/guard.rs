//! The grounding guard: what an answer says must stand in the passages it was given.
//!
//! The walk through a check: the passages are cut into [`units`], the answer into [`sentences`]. Of each
//! sentence, every one of its [`figures`] must stand in one passage or in the question, enough of its words
//! must stand in neighbouring units of that passage, and these must not say the opposite.
//!
//! The guard knows words, not meanings: it is sure of figures and names, and only of those.

mod alignment;
mod claim;
mod evidence;
mod figure;
mod filter;
mod leaf;
mod polarity;
mod script;
mod sentence;
mod stop_words;
mod stream;
mod table;
mod unit;
mod verdict;
mod words;

use std::ops::Range;

use alignment::{Alignment, align, misplaced};
use claim::Claim;
use evidence::Evidence;
pub use figure::{Figure, Measure, figures};
pub use filter::FigureFilter;
pub use sentence::sentences;
pub(crate) use stop_words::is_stop_word_of;
pub use stream::{Gate, Gated};
pub use unit::{Unit, UnitKind, units};
pub use verdict::{Checked, Fault, Support, Verdict};

/// Share of a sentence's words that must stand in the passages, unless set otherwise.
const THRESHOLD: f32 = 0.6;

/// The same for the words of the question, where the answer is a bare "yes" or "no".
const QUESTION_THRESHOLD: f32 = 0.4;

/// Checks answers to one question against one list of passages.
pub struct Guard {
    evidence: Evidence,
    threshold: f32,
    /// Whether a passage tells of what the question asks.
    tells_of_question: bool,
}

impl Guard {
    /// Prepares `passages`, each with its title if it has one, and `question`, with what the customer said
    /// before it if anything.
    ///
    /// ```
    /// use rag::guard::{Guard, Verdict};
    /// let guard = Guard::new("What is express delivery?", &["Express delivery costs £8.90 in the UK."]);
    /// assert!(guard.check_sentence("Express delivery costs £8.90. [1]").passes());
    /// assert!(!guard.check_sentence("Express delivery costs £9.90. [1]").passes());
    /// ```
    pub fn new(question: &str, passages: &[&str]) -> Self {
        let evidence = Evidence::new(question, passages);
        let asked = align(&Claim::new(question, &evidence), &evidence);
        let tells_of_question = asked.iter().any(|found| found.words >= QUESTION_THRESHOLD);
        Guard { evidence, threshold: THRESHOLD, tells_of_question }
    }

    /// The same with another share of a sentence's words that must stand in the passages, in `[0, 1]`.
    pub fn with_threshold(self, threshold: f32) -> Self {
        Guard { threshold, ..self }
    }

    /// Checks each sentence of `answer`.
    pub fn check(&self, answer: &str) -> Vec<Checked> {
        let check = |range: Range<usize>| self.check_at(&answer[range.clone()], range);
        sentences(answer).into_iter().map(check).collect()
    }

    /// Checks one sentence.
    pub fn check_sentence(&self, sentence: &str) -> Checked {
        self.check_at(sentence, 0..sentence.len())
    }

    /// A filter that lets only figures of the passages and the question be written.
    pub fn filter(&self) -> FigureFilter {
        FigureFilter::new(&self.evidence)
    }

    fn check_at(&self, sentence: &str, range: Range<usize>) -> Checked {
        let claim = Claim::new(sentence, &self.evidence);
        let found = align(&claim, &self.evidence);
        let best = best(&found);
        let verdict = self.verdict(sentence, &claim, best);
        let supported = verdict == Verdict::Supported;
        let holds = |cited: &usize| {
            found.iter().any(|found| found.passage + 1 == *cited && found.supports(self.threshold))
        };
        let exist = claim.cited.iter().all(|cited| (1..=self.evidence.passages.len()).contains(cited));
        let citation_holds = (!claim.cited.is_empty() && verdict != Verdict::Neutral)
            .then(|| supported && exist && claim.cited.iter().any(holds));
        let verdict = match verdict {
            Verdict::Unsupported(fault) => Verdict::Unsupported(fault.moved(range.start)),
            other => other,
        };
        // Of the passages that support it equally, the cited one is shown.
        let shown = found
            .iter()
            .find(|found| claim.cited.contains(&(found.passage + 1)) && found.supports(self.threshold));
        let support = shown.or(best).and_then(|best| self.support(best));
        Checked { range, verdict, support, cited: claim.cited, citation_holds }
    }

    fn verdict(&self, sentence: &str, claim: &Claim, best: Option<&Alignment>) -> Verdict {
        let ranges = |places: Vec<usize>| -> Vec<Range<usize>> {
            places
                .into_iter()
                .filter_map(|at| claim.figures.get(at))
                .map(|(range, _)| range.clone())
                .collect()
        };
        let names = claim.strange_names(&self.evidence);
        let missing = match best {
            Some(best) => best.missing.clone(),
            None => (0..claim.figures.len()).filter(|at| !self.is_asked(claim, *at)).collect(),
        };
        if names.is_empty() && missing.is_empty() {
            if claim.is_bare_answer() && !self.tells_of_question {
                return Verdict::Unsupported(Fault::default());
            }
            if claim.is_talk(&self.evidence) {
                return Verdict::Neutral;
            }
            let misplaced = misplaced(claim, &self.evidence);
            if best.is_some_and(|best| best.supports(self.threshold)) && misplaced.is_empty() {
                return Verdict::Supported;
            }
        }
        // Each statement of a sentence may have its own place.
        if names.is_empty() && self.each_statement_stands(sentence, claim) {
            return Verdict::Supported;
        }
        let misplaced = if missing.is_empty() { misplaced(claim, &self.evidence) } else { Vec::new() };
        Verdict::Unsupported(Fault {
            figures: ranges(missing),
            misplaced: ranges(misplaced),
            names,
            words: best.map_or(0.0, |best| best.words),
            contradicts: best.is_some_and(|best| best.contradicts),
        })
    }

    fn is_asked(&self, claim: &Claim, at: usize) -> bool {
        claim.figures.get(at).is_some_and(|(_, figure)| match figure {
            Figure::Name(name) => self.evidence.asks_for(name),
            figure => alignment::stands(figure, &self.evidence.asked),
        })
    }

    /// Whether `claim` is of several statements and each stands by itself.
    fn each_statement_stands(&self, sentence: &str, claim: &Claim) -> bool {
        let Some((_, terms)) = claim.readings.first() else { return false };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for pair in terms.windows(2) {
            if let [before, after] = pair
                && before.word.statement != after.word.statement
                && sentence.is_char_boundary(after.word.range.start)
            {
                parts.push(parts.last().map_or(0, |last| last.end)..after.word.range.start);
            }
        }
        let Some(last) = parts.last().cloned() else { return false };
        parts.push(last.end..sentence.len());
        // A figure that a cut would take apart keeps the sentence whole.
        let cuts_figure = |part: &Range<usize>| {
            claim.figures.iter().any(|(at, _)| at.start < part.end && part.end < at.end)
        };
        if parts.iter().any(cuts_figure) {
            return false;
        }
        parts.iter().all(|part| {
            let claim = Claim::new(&sentence[part.clone()], &self.evidence);
            let content = claim
                .readings
                .first()
                .map_or(0, |(_, terms)| terms.iter().filter(|term| term.weight > 0.0).count());
            if claim.figures.is_empty() && content == 0 {
                return true;
            }
            let found = align(&claim, &self.evidence);
            content >= 2
                && found.iter().any(|found| found.supports(self.threshold))
                && misplaced(&claim, &self.evidence).is_empty()
        })
    }

    fn support(&self, best: &Alignment) -> Option<Support> {
        let units = self.evidence.units.get(best.units.clone())?;
        let range = units.first()?.unit.range.start..units.iter().map(|known| known.unit.range.end).max()?;
        Some(Support { passage: best.passage, range, words: best.words })
    }
}

fn best(found: &[Alignment]) -> Option<&Alignment> {
    found.iter().reduce(|best, other| if other.score() > best.score() { other } else { best })
}

#[cfg(test)]
mod tests;
