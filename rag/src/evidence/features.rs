//! What is known of a question and a unit of a passage, as numbers.

use std::collections::{HashMap, HashSet};

use super::Sought;
use super::asked::Asked;
use super::unit_store::StoredUnit;
use crate::embedder::likeness;
use crate::lexical::{Language, content_words};
use crate::{Hit, UnitKind};

/// Names of the numbers of a candidate, in their order.
pub(super) const CANDIDATE: [&str; 31] = [
    "cosine_titled",
    "cosine_bare",
    "cosine_below_best",
    "cosine_context",
    "cosine_passage",
    "fused",
    "reciprocal_rank",
    "lexical",
    "words",
    "words_with_headings",
    "words_of_neighbours",
    "words_below_best",
    "precision",
    "log_length",
    "is_row",
    "is_item",
    "is_lead",
    "is_first",
    "code_found",
    "code_missing",
    "offers_asked_figure",
    "lacks_asked_figure",
    "offers_asked_contact",
    "lacks_asked_contact",
    "offers_asked_step",
    "offers_asked_yes_no",
    "offers_asked_reason",
    "offers_unasked_figure",
    "is_question",
    "is_unasked_past",
    "is_of_first_document",
];

/// Names of the numbers of the case that no candidate holds the answer.
pub(super) const NONE: [&str; 10] = [
    "bias",
    "best_cosine",
    "best_passage",
    "best_words",
    "share_unknown",
    "few_words",
    "best_lexical",
    "margin",
    "has_context",
    "is_foreign",
];

/// The numbers of every candidate and of none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// Those of each candidate, named by [`CANDIDATE`].
    pub candidates: Vec<Vec<f32>>,
    /// Those of the case that none holds the answer, named by [`NONE`].
    pub none: Vec<f32>,
}

/// A candidate: a unit of the passage of a hit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Which of the hits.
    pub hit: usize,
    pub unit: &'a StoredUnit,
    /// Whether it is the first of its passage.
    pub is_first: bool,
}

/// Computes the numbers of `candidates`, which are units of `hits`; `unrelated` is the embedder's cosine of
/// unrelated texts.
pub(super) fn features(sought: Sought, hits: &[Hit], candidates: &[Candidate], unrelated: f32) -> Features {
    let cosine = |a: &[f32], b: &[f32]| likeness(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>(), unrelated);
    let Sought { question, vector, before } = sought;
    let kind = Asked::of(question, before.map(|(before, _)| before));
    let text = sought.text();
    let language = Language::of(&hits.iter().take(2).map(|hit| hit.text.as_str()).collect::<String>());
    let asked: HashSet<String> = content_words(&text, language).into_iter().collect();
    let words: Vec<HashSet<String>> =
        candidates.iter().map(|c| content_words(&c.unit.text, language).into_iter().collect()).collect();
    let headings: Vec<HashSet<String>> =
        candidates.iter().map(|c| content_words(&c.unit.path, language).into_iter().collect()).collect();
    let weights = weights(&asked, &words, &headings);
    let all: f32 = weights.values().sum::<f32>().max(1e-6);
    let share = |is_in: &dyn Fn(&str) -> bool| {
        asked.iter().filter(|word| is_in(word)).map(|word| weights[word.as_str()]).sum::<f32>() / all
    };

    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let hit = &hits[candidate.hit];
        let unit = candidate.unit;
        let near = [index.checked_sub(1), Some(index + 1)];
        let near = near
            .into_iter()
            .flatten()
            .filter(|at| candidates.get(*at).is_some_and(|other| other.hit == candidate.hit));
        let near: Vec<usize> = near.collect();
        let own = share(&|word| words[index].contains(word));
        let headed = share(&|word| words[index].contains(word) || headings[index].contains(word));
        let neighbours =
            share(&|word| words[index].contains(word) || near.iter().any(|at| words[*at].contains(word)));
        let precision = words[index].iter().filter(|word| asked.contains(*word)).count() as f32
            / words[index].len().max(1) as f32;
        let titled = cosine(vector, &unit.titled);
        let offered = &unit.offered;
        let figure = kind.figure(offered);
        let contact = kind.contact(offered);
        rows.push(vec![
            titled,
            cosine(vector, &unit.bare),
            titled, // below: minus the best
            before.map_or(titled, |(_, both)| cosine(both, &unit.titled)),
            hit.scores.dense,
            hit.scores.fused,
            1.0 / (1.0 + candidate.hit as f32),
            hit.scores.lexical,
            own,
            headed,
            neighbours,
            headed, // below: minus the best
            precision,
            (unit.text.len() as f32 / 80.0).ln().clamp(-2.0, 2.0),
            is(unit.kind == UnitKind::Row),
            is(unit.kind == UnitKind::Item),
            is(unit.kind == UnitKind::Lead),
            is(candidate.is_first),
            is(kind.has_code() && kind.code_in(&unit.text)),
            is(kind.has_code() && !kind.code_in(&unit.text)),
            is(figure == Some(true)),
            is(figure == Some(false)),
            is(contact == Some(true)),
            is(contact == Some(false)),
            is(kind.is_how() && offered.step),
            is(kind.is_yes_no() && offered.permission),
            is(kind.is_why() && offered.reason),
            is(figure.is_none() && contact.is_none() && offered.any_figure()),
            is(unit.text.trim_end().ends_with('?')),
            is(offered.past && !kind.is_past()),
            is(hits.first().is_some_and(|first| first.document == hit.document)),
        ]);
    }
    let best = |column: usize| rows.iter().map(|row| row[column]).fold(f32::MIN, f32::max);
    let (best_cosine, best_words) = (best(2), best(11));
    let second = rows.iter().map(|row| row[0]).filter(|x| *x < best_cosine).fold(0.0, f32::max);
    for row in &mut rows {
        row[2] -= best_cosine;
        row[11] -= best_words;
    }
    let known = |word: &str| words.iter().chain(&headings).any(|words| words.contains(word));
    let unknown = 1.0 - share(&|word| known(word));
    let passage = |score: fn(&Hit) -> f32| hits.iter().map(score).fold(0.0, f32::max);
    let none = vec![
        1.0,
        if rows.is_empty() { 0.0 } else { best_cosine },
        passage(|hit| hit.scores.dense),
        if rows.is_empty() { 0.0 } else { best_words },
        unknown,
        1.0 / (1.0 + asked.len() as f32),
        passage(|hit| hit.scores.lexical),
        if rows.is_empty() { 0.0 } else { best_cosine - second },
        is(before.is_some()),
        is(text.split_whitespace().count() > 3 && Language::of(&text) != language),
    ];
    Features { candidates: rows, none }
}

fn is(yes: bool) -> f32 {
    f32::from(u8::from(yes))
}

/// How much each word of the question tells candidates apart: the rarer among them, the more; a word that
/// none has counts as the rarest.
fn weights<'a>(
    asked: &'a HashSet<String>,
    words: &[HashSet<String>],
    headings: &[HashSet<String>],
) -> HashMap<&'a str, f32> {
    let count = words.len() as f32;
    let weight = |word: &str| {
        let has =
            words.iter().zip(headings).filter(|(words, above)| words.contains(word) || above.contains(word));
        ((count + 1.0) / (has.count() as f32 + 0.5)).ln_1p()
    };
    asked.iter().map(|word| (word.as_str(), weight(word))).collect()
}
