//! What is read for a question: the passages, and the question as evidence is sought for it.

use crate::answerer::is_foreign;
use crate::{AnswerOptions, Filter, Hit, IndexedDocument, Question, RagError, Retriever, Sought};

/// A question with the passages to read for it. Answering and [calibrating](crate::evidence::fit) read alike.
pub struct Reading {
    /// The question as it was searched, with the one that it refers to.
    pub searched: String,
    /// The passages, those of the best document first.
    pub hits: Vec<Hit>,
    question: String,
    own: Question,
    /// The question that it refers to, and both together.
    before: Option<(String, Question)>,
}

impl Reading {
    /// Reads for `question`, whose embedding is `own`, and which refers to the question `before` it, if to any.
    ///
    /// # Errors
    /// If a text cannot be embedded, or a field of the selection is out of range.
    pub fn new(
        retriever: &Retriever,
        question: &str,
        own: Question,
        before: Option<&str>,
        options: &AnswerOptions,
    ) -> Result<Self, RagError> {
        let searched = before.map_or(question.to_string(), |before| format!("{before}\n{question}"));
        let before = match before {
            Some(before) => Some((before.to_string(), retriever.embed(&searched)?)),
            None => None,
        };
        let asked = before.as_ref().map_or(&own, |(_, both)| both);
        let allows = |document: &IndexedDocument| options.filter.allows(document);
        let filter: Option<Filter> = if options.filter.is_empty() { None } else { Some(&allows) };
        let read = |selection| retriever.read(asked, options.documents, options.passages, selection, filter);
        let mut hits = read(&options.selection)?;
        if let Some(selection) = options.foreign_selection.filter(|_| is_foreign(&searched, &hits)) {
            hits = read(&selection)?;
        }
        Ok(Reading { searched, hits, question: question.to_string(), own, before })
    }

    /// The question as evidence is sought for it.
    pub fn sought(&self) -> Sought<'_> {
        let before = self.before.as_ref().map(|(before, both)| (before.as_str(), both.vector()));
        Sought { question: &self.question, vector: self.own.vector(), before }
    }
}
