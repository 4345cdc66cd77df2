//! Templates: articles, their facts and the questions about them, before anything is drawn.

use thiserror::Error;

use super::text::{Slots, Text};

/// What is wrong with a file of templates.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{file}:{line}: {reason}")]
pub struct TemplateError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Names a fact of a template: a letter.
pub type FactName = char;

/// An article with its facts and questions.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// The file it stands in.
    pub file: String,
    /// The line of its title.
    pub line: usize,
    /// The kind of business: the file's name without `.txt`.
    pub business: String,
    /// What it is about: articles on one topic in several businesses answer alike questions.
    pub topic: String,
    /// Its title.
    pub title: Text,
    /// Its sections; the first may have no heading.
    pub sections: Vec<Section>,
    /// What can be asked.
    pub questions: Vec<Question>,
    /// Follow-ups about a second fact after a first.
    pub follow_ups: Vec<FollowUp>,
    /// The answers.
    pub answers: Vec<Answer>,
    /// Questions on the topic that it does not answer.
    pub near: Vec<Wordings>,
    /// Statements like a fact's, about something else.
    pub decoys: Vec<Decoy>,
    /// What its texts leave open.
    pub slots: Slots,
}

/// A part of an article under one heading.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// The heading; none for the introduction.
    pub heading: Option<Text>,
    /// Paragraphs, lists and tables.
    pub blocks: Vec<Block>,
}

/// A paragraph, a list or a table.
#[derive(Debug, Clone)]
pub struct Block {
    /// Which.
    pub kind: BlockKind,
    /// Sentences, items or rows.
    pub lines: Vec<Line>,
}

/// What a [`Block`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockKind {
    /// Sentences that follow each other.
    Paragraph,
    /// Items.
    List,
    /// Rows under these heads of columns.
    Table(Vec<Text>),
}

/// A sentence, an item or a table's row.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line in the file.
    pub line: usize,
    /// The facts that it holds.
    pub facts: Vec<FactName>,
    /// The item's bullet or number.
    pub marker: String,
    /// One text, or the cells of a row.
    pub cells: Vec<Text>,
}

/// Wordings of one question.
#[derive(Debug, Clone)]
pub struct Wordings {
    /// The line in the file.
    pub line: usize,
    /// The wordings.
    pub wordings: Vec<Text>,
}

/// A question about one fact or two.
#[derive(Debug, Clone)]
pub struct Question {
    /// The facts.
    pub facts: Vec<FactName>,
    /// The question's language, if it is not English.
    pub language: Option<String>,
    /// How it is put.
    pub asked: Wordings,
}

/// A question about `then` that makes sense after one about `first`.
#[derive(Debug, Clone)]
pub struct FollowUp {
    /// The fact asked before.
    pub first: FactName,
    /// The fact asked now.
    pub then: FactName,
    /// How it is put.
    pub asked: Wordings,
}

/// A fact's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The fact.
    pub fact: FactName,
    /// How it is put.
    pub told: Wordings,
}

/// A statement like a fact's about another plan, an old policy, another condition.
#[derive(Debug, Clone)]
pub struct Decoy {
    /// The fact that it resembles.
    pub fact: FactName,
    /// The statement.
    pub line: Line,
}

impl Template {
    /// Names it: its business and its topic.
    pub fn id(&self) -> String {
        format!("{}/{}", self.business, self.topic)
    }

    /// The facts that are asked about and answered.
    pub fn askable(&self) -> Vec<FactName> {
        let mut facts: Vec<FactName> = self
            .questions
            .iter()
            .filter(|question| question.language.is_none())
            .filter_map(|question| match question.facts.as_slice() {
                [fact] => Some(*fact),
                _ => None,
            })
            .filter(|fact| self.answer(*fact).is_some())
            .collect();
        facts.sort_unstable();
        facts.dedup();
        facts
    }

    /// The answer of `fact`.
    pub fn answer(&self, fact: FactName) -> Option<&Answer> {
        self.answers.iter().find(|answer| answer.fact == fact)
    }

    /// Its lines in the article's order.
    pub fn lines(&self) -> impl Iterator<Item = (&Section, &Block, &Line)> {
        self.sections.iter().flat_map(|section| {
            let blocks = section.blocks.iter();
            blocks.flat_map(move |block| block.lines.iter().map(move |line| (section, block, line)))
        })
    }

    /// An error at `line` of its file.
    pub fn error(&self, line: usize, reason: impl Into<String>) -> TemplateError {
        TemplateError { file: self.file.clone(), line, reason: reason.into() }
    }
}
