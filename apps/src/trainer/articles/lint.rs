//! What is doubtful about a template.

use std::collections::BTreeSet;

use super::cite::sentences;
use super::draw::Draw;
use super::figures::figures;
use super::plan::{Missing, Plan, PlannedTurn};
use super::row::Kind;
use super::scene::Scene;
use super::slot::Slot;
use super::template::{BlockKind, FactName, Template, TemplateError};
use super::text::Text;

/// Wordings of a fact's question that let a reader learn the question instead of its words.
const WORDINGS: usize = 5;
/// Draws with which each answer is tried.
const TRIALS: usize = 24;

/// What is missing or doubtful.
pub fn warnings(template: &Template) -> Vec<TemplateError> {
    let mut found = Vec::new();
    let mut warn = |line: usize, reason: String| found.push(template.error(line, reason));
    let mut stated: BTreeSet<FactName> = BTreeSet::new();
    for (_, _, line) in template.lines() {
        stated.extend(&line.facts);
        let is_one = |cell: &Text| sentences(&cell.literal()).len() < 2;
        if line.marker.is_empty() && !line.facts.is_empty() && !line.cells.iter().all(is_one) {
            warn(line.line, "the fact is stated on a line of several sentences".into());
        }
    }
    for fact in &stated {
        let count: usize = template
            .questions
            .iter()
            .filter(|question| question.facts == [*fact] && question.language.is_none())
            .map(|question| question.asked.wordings.len())
            .sum();
        if count < WORDINGS {
            warn(
                template.line,
                format!("the fact `{fact}` has {count} wordings of its question, fewer than {WORDINGS}"),
            );
        }
    }
    for answer in &template.answers {
        let sources = sources(template, answer.fact);
        for text in &answer.told.wordings {
            for name in text.certain_slots() {
                let is_quoted = template.slots.get(name).is_some_and(Slot::is_quoted);
                if is_quoted && !sources.iter().any(|source| source.certain_slots().contains(name)) {
                    warn(
                        answer.told.line,
                        format!(
                            "the answer needs `{{{name}}}`, which is not always in a sentence of the fact `{}`",
                            answer.fact
                        ),
                    );
                }
            }
            let literal = text.all_literals();
            let stated: String = sources.iter().map(|source| source.all_literals() + "\n").collect();
            if let Some(figure) = figures(&literal).find(|figure| !stated.contains(figure)) {
                warn(
                    answer.told.line,
                    format!("the answer has `{figure}`, the sentences of the fact `{}` not", answer.fact),
                );
            }
        }
    }
    for (what, is_missing) in [
        ("question near the topic (`x`)", template.near.is_empty()),
        ("follow-up (`> a > b`)", template.follow_ups.is_empty()),
        ("question in another language (`?de a`)", template.questions.iter().all(|q| q.language.is_none())),
        ("question about two facts (`? a+b`)", template.questions.iter().all(|q| q.facts.len() < 2)),
    ] {
        if is_missing {
            warn(template.line, format!("there is no {what}"));
        }
    }
    found
}

/// The texts that a passage with the fact shows in any case: its sentences, their headings and columns, and
/// the title.
fn sources(template: &Template, fact: FactName) -> Vec<&Text> {
    let lines = template.lines().filter(|(_, _, line)| line.facts.contains(&fact));
    let mut sources = vec![&template.title];
    for (section, block, line) in lines {
        sources.extend(&line.cells);
        sources.extend(&section.heading);
        if let BlockKind::Table(head) = &block.kind {
            sources.extend(head);
        }
    }
    sources
}

/// Errors that come up when every fact is answered in many draws.
pub fn trial(template: &Template, scene: &Scene, draw: &mut Draw) -> Vec<TemplateError> {
    let mut found: Vec<TemplateError> = Vec::new();
    for answer in &template.answers {
        let turn = PlannedTurn { asked: Vec::new(), facts: vec![answer.fact], unanswered: false };
        let plan =
            Plan { kind: Kind::Fact, template, turns: vec![turn], language: "en", missing: Missing::Nothing };
        for _ in 0..TRIALS {
            if let Err(error) = scene.row(&plan, draw) {
                found.push(error);
                break;
            }
        }
    }
    found
}
