//! Checks that the parts of a template fit together.

use super::slot::Slot;
use super::template::{BlockKind, FactName, Template, TemplateError};
use super::text::Text;

/// Defines the slots that a bare kind stands for, and lists what the parts of a template lack from each
/// other.
pub fn complete(template: &mut Template, errors: &mut Vec<TemplateError>) {
    for (line, text) in texts(template) {
        for (name, part) in text.slots() {
            if !template.slots.contains_key(&name) {
                match Slot::bare(&name) {
                    Some(slot) => _ = template.slots.insert(name.clone(), slot),
                    None => {
                        errors.push(
                            template.error(
                                line,
                                format!("the slot `{{{name}}}` is defined nowhere in the article"),
                            ),
                        );
                        continue;
                    }
                }
            }
            let parts = template.slots.get(&name).map_or(1, Slot::parts);
            if part.is_some_and(|part| part >= parts) {
                errors.push(
                    template
                        .error(line, format!("the slot `{{{name}}}` has {parts} part(s), counted from 0")),
                );
            }
        }
    }
    let told: Vec<FactName> = template.answers.iter().map(|answer| answer.fact).collect();
    let stated: Vec<FactName> = template.lines().flat_map(|(_, _, line)| line.facts.clone()).collect();
    let questions = template.questions.iter().map(|question| (question.asked.line, question.facts.clone()));
    let follow_ups =
        template.follow_ups.iter().map(|asked| (asked.asked.line, vec![asked.first, asked.then]));
    let decoys = template.decoys.iter().map(|decoy| (decoy.line.line, vec![decoy.fact]));
    let answers = template.answers.iter().map(|answer| (answer.told.line, vec![answer.fact]));
    for (line, facts) in questions.chain(follow_ups).chain(decoys).chain(answers) {
        for fact in facts {
            if !told.contains(&fact) {
                errors.push(template.error(line, format!("the fact `{fact}` has no answer (`! {fact} …`)")));
            }
            if !stated.contains(&fact) {
                errors
                    .push(template.error(line, format!("no sentence holds the fact `{fact}` (`*{fact} …`)")));
            }
        }
    }
    let empty = template.lines().next().is_none();
    if empty {
        errors.push(template.error(template.line, "the article has no sentence"));
    }
}

/// All texts of a template with their lines.
fn texts(template: &Template) -> Vec<(usize, Text)> {
    let mut texts = vec![(template.line, template.title.clone())];
    for section in &template.sections {
        let heading_line =
            section.blocks.first().and_then(|block| block.lines.first()).map_or(template.line, |l| l.line);
        texts.extend(section.heading.iter().map(|heading| (heading_line, heading.clone())));
        for block in &section.blocks {
            if let BlockKind::Table(head) = &block.kind {
                texts.extend(head.iter().map(|cell| (heading_line, cell.clone())));
            }
            texts.extend(
                block.lines.iter().flat_map(|line| line.cells.iter().map(|cell| (line.line, cell.clone()))),
            );
        }
    }
    let asked = template.questions.iter().map(|question| &question.asked);
    let asked = asked.chain(template.follow_ups.iter().map(|asked| &asked.asked)).chain(&template.near);
    for wordings in asked.chain(template.answers.iter().map(|answer| &answer.told)) {
        texts.extend(wordings.wordings.iter().map(|text| (wordings.line, text.clone())));
    }
    let decoys = template.decoys.iter().map(|decoy| &decoy.line);
    texts.extend(decoys.flat_map(|line| line.cells.iter().map(|cell| (line.line, cell.clone()))));
    texts
}
