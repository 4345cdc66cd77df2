//! Rows: one conversation with the passages it rests on.

use std::fmt;

use serde_json::{Value, json};

use super::passage::Passage;

/// What a row teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One fact out of the passages.
    Fact,
    /// Two facts.
    TwoFacts,
    /// A question that only the conversation before completes.
    FollowUp,
    /// A question in another language than the passages'.
    Language,
    /// Passages of two companies on one topic.
    OtherCompany,
    /// Two questions, of which the passages answer one.
    Partial,
    /// An injection in a passage or beside a question.
    Injection,
    /// A question whose sentence or article is missing.
    Near,
    /// A question near the article's topic that it does not answer.
    NearTopic,
    /// A question about something else.
    Far,
    /// An exchange of this group of the talk.
    Talk(String),
}

impl Kind {
    /// Whether the right answer is that the passages do not say.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Near | Self::NearTopic | Self::Far)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fact => "fact",
            Self::TwoFacts => "two-facts",
            Self::FollowUp => "follow-up",
            Self::Language => "language",
            Self::OtherCompany => "other-company",
            Self::Partial => "partial",
            Self::Injection => "injection",
            Self::Near => "near",
            Self::NearTopic => "near-topic",
            Self::Far => "far",
            Self::Talk(group) => return write!(f, "talk-{group}"),
        })
    }
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// What the customer writes.
    pub question: String,
    /// What the assistant answers.
    pub answer: String,
}

/// A conversation with its passages.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it teaches.
    pub kind: Kind,
    /// The kind of business asked about.
    pub business: String,
    /// The article asked about: business and topic.
    pub article: String,
    /// The question's language.
    pub language: String,
    /// Its passages, in the prompt's order.
    pub passages: Vec<Passage>,
    /// The conversation; the last turn is what is learned.
    pub turns: Vec<Turn>,
    /// Passage and sentence of what the last answer rests on, from 0.
    pub evidence: Vec<(usize, usize)>,
}

impl Row {
    /// The numbered passages as the system message shows them.
    pub fn context(&self) -> String {
        let numbered = self.passages.iter().zip(1..);
        let passage =
            numbered.map(|(passage, number)| format!("[{number}] {}\n{}", passage.label(), passage.text()));
        passage.collect::<Vec<_>>().join("\n\n")
    }

    /// A line for `trainer train`.
    pub fn to_conversation(&self) -> String {
        let mut messages = Vec::new();
        if !self.passages.is_empty() {
            messages.push(json!({ "role": "system", "content": self.context() }));
        }
        for turn in &self.turns {
            messages.push(json!({ "role": "user", "content": turn.question }));
            messages.push(json!({ "role": "assistant", "content": turn.answer }));
        }
        json!({
            "messages": messages,
            "kind": self.kind.to_string(),
            "business": self.business,
            "article": self.article,
            "language": self.language,
        })
        .to_string()
    }

    /// A line for a selector of sentences: the passages' sentences, and which of them hold what was asked.
    pub fn to_evidence(&self) -> String {
        let Some((last, before)) = self.turns.split_last() else { return "{}".into() };
        let mut line = json!({ "question": last.question });
        if !before.is_empty() {
            let said = before.iter().flat_map(|turn| {
                [
                    json!({ "role": "user", "content": turn.question }),
                    json!({ "role": "assistant", "content": turn.answer }),
                ]
            });
            line["history"] = said.collect();
        }
        line["kind"] = self.kind.to_string().into();
        line["language"] = self.language.as_str().into();
        line["business"] = self.business.as_str().into();
        line["article"] = self.article.as_str().into();
        line["passages"] = self.passages.iter().map(evidence_passage).collect();
        line["evidence"] =
            self.evidence.iter().map(|(passage, sentence)| json!([passage, sentence])).collect();
        line["answer"] = last.answer.as_str().into();
        line.to_string()
    }
}

fn evidence_passage(passage: &Passage) -> Value {
    let sentences: Vec<&str> = passage.sentences().map(|sentence| sentence.text.as_str()).collect();
    let rows = passage.sentences_with_heads().enumerate();
    let rows: Vec<Value> = rows
        .filter_map(|(index, (sentence, head))| {
            head.map(|head| json!({ "sentence": index, "header": head, "row": sentence.source }))
        })
        .collect();
    let mut value = json!({
        "title": passage.title,
        "heading": passage.heading,
        "text": passage.text(),
        "sentences": sentences,
    });
    if !rows.is_empty() {
        value["rows"] = rows.into();
    }
    value
}
