//! The answerer: from a customer's message to an answer that stands in the articles, or to none.
//!
//! The walk: message → [`Intents`] (small talk is answered as such) → passages of the [`Retriever`] →
//! [`EvidenceFinder`] → the sentences that answer, each with its passage, or a fixed text and a handoff.

mod documents;

use std::ops::Range;

pub use documents::{SearchResults, Upload};

use crate::lexical::Language;
use crate::{
    Choice, Evidence, EvidenceFinder, Findings, Hit, Intent, Intents, MetadataFilter, RagError, Reading,
    Recognised, Replies, Retriever, Selection, Weights, goes_on, refers_to,
};

/// The language of a reply to what is in none.
const DEFAULT_LANGUAGE: &str = "en";

/// Answers messages from a knowledge base.
pub struct Answerer {
    retriever: Retriever,
    finder: EvidenceFinder,
    intents: Intents,
    replies: Replies,
    options: AnswerOptions,
}

/// How an [`Answerer`] answers.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerOptions {
    /// Documents that are read for a question.
    pub documents: usize,
    /// Passages that are read of each, at most.
    pub passages: usize,
    /// How documents are ranked.
    pub selection: Selection,
    /// How they are ranked for a question in another language than what was found first, if in another way: by the
    /// words it shares with articles that are not in its language, such as names, others come first.
    pub foreign_selection: Option<Selection>,
    /// How evidence becomes an answer.
    pub choice: Choice,
    /// What takes the place of the choice's `most_doubt`, where it is less, for a question in another language
    /// than the passages: an English embedder knows such a question by its names and numbers only.
    pub most_foreign_doubt: f32,
    /// Which documents may be read.
    pub filter: MetadataFilter,
    /// Tag of the language of fixed texts, as `de`; that of the message if `None`.
    pub language: Option<String>,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        AnswerOptions {
            documents: 4,
            passages: 4,
            selection: Selection::default(),
            foreign_selection: None,
            choice: Choice::default(),
            most_foreign_doubt: 0.3,
            filter: MetadataFilter::default(),
            language: None,
        }
    }
}

impl AnswerOptions {
    /// With an embedder that finds articles for questions in other languages.
    pub fn multilingual() -> Self {
        let weights = Weights { dense: 1.0, passages: 0.0, documents: 0.0 };
        AnswerOptions {
            foreign_selection: Some(Selection { weights, ..Selection::default() }),
            most_foreign_doubt: Choice::default().most_doubt,
            ..Self::default()
        }
    }
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The articles answer it.
    Answered,
    /// They do not; a person should.
    NoAnswer,
    /// It was no question, and is answered by a fixed text.
    Talk,
    /// The customer wants a person.
    Handoff,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the customer reads, with citations such as `[1]`.
    pub text: String,
    /// What came of the message.
    pub outcome: Outcome,
    /// What the message was recognised as.
    pub recognised: Recognised,
    /// Tag of the message's language, as `en`.
    pub language: String,
    /// The sentences of an answer from the articles.
    pub sentences: Vec<Cited>,
    /// The passages that are cited, in the order of their numbers in the text.
    pub passages: Vec<Hit>,
    /// Probability that what was read holds no answer, in `[0, 1]`; 1 where nothing was looked up.
    pub no_answer: f32,
    /// The question as it was searched, with what it refers to.
    pub searched: String,
}

/// A sentence of an answer and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Cited {
    /// The sentence, without its citation.
    pub text: String,
    /// Which of the answer's passages it stands in, from 0.
    pub passage: usize,
    /// Where in that passage, in bytes.
    pub range: Range<usize>,
    /// Probability that it answers, in `[0, 1]`.
    pub probability: f32,
}

impl Answerer {
    /// One that answers from `retriever`'s knowledge.
    pub fn new(
        retriever: Retriever,
        finder: EvidenceFinder,
        intents: Intents,
        replies: Replies,
        options: AnswerOptions,
    ) -> Self {
        Answerer { retriever, finder, intents, replies, options }
    }

    /// Where the knowledge is found.
    pub fn retriever(&self) -> &Retriever {
        &self.retriever
    }

    /// How it answers.
    pub fn options(&self) -> &AnswerOptions {
        &self.options
    }

    /// Whether its fixed texts are there in the language with that tag.
    pub fn speaks(&self, language: &str) -> bool {
        self.replies.has(language)
    }

    /// Embeds the sentences of all passages ahead of the first question; `done` is told how many of how many
    /// documents are.
    ///
    /// # Errors
    /// If one cannot be embedded.
    pub fn prepare(&self, mut done: impl FnMut(usize, usize)) -> Result<(), RagError> {
        let documents = self.retriever.index().snapshot().documents().count();
        let mut read = 0;
        self.retriever.for_each_document(|hits| {
            let document = hits.first().map_or("", |hit| hit.document.as_str());
            self.finder.prepare(document, hits, self.retriever.embedder())?;
            read += 1;
            done(read, documents);
            Ok(())
        })
    }

    /// Answers `message`; `earlier` are the customer's messages before it, the oldest first.
    ///
    /// # Errors
    /// If a text cannot be embedded.
    pub fn answer(&self, message: &str, earlier: &[&str]) -> Result<Answer, RagError> {
        self.answer_with(message, earlier, &self.options)
    }

    /// As [`answer`](Self::answer), with other options than its own.
    ///
    /// # Errors
    /// If a text cannot be embedded, or a field of the selection is out of range.
    pub fn answer_with(
        &self,
        message: &str,
        earlier: &[&str],
        options: &AnswerOptions,
    ) -> Result<Answer, RagError> {
        let own = self.retriever.embed(message)?;
        let recognised = self.intents.recognise(message, own.vector());
        // Thanks and greetings in between are nothing to refer to.
        let is_question = |said: &&str| self.intents.recognise(said, &[]).intent == Intent::Question;
        let earlier: Vec<&str> = earlier.iter().copied().filter(is_question).collect();
        let refers = refers_to(message, &earlier);
        let language = match &options.language {
            Some(language) => language.clone(),
            None => self.language(message, recognised.intent, &earlier).to_string(),
        };
        // After a question, "why?" and "and then?" are neither unclear nor chit-chat.
        let goes_on = refers.is_some() && goes_on(message);
        let is_talk = match recognised.intent {
            Intent::Question => false,
            Intent::Unclear | Intent::OffTopic => !goes_on,
            _ => true,
        };
        if is_talk {
            let text = self.replies.to(recognised.intent, &language).unwrap_or_default();
            let outcome = if recognised.intent == Intent::Human { Outcome::Handoff } else { Outcome::Talk };
            return Ok(Answer {
                text,
                outcome,
                recognised,
                language,
                sentences: Vec::new(),
                passages: Vec::new(),
                no_answer: 1.0,
                searched: message.to_string(),
            });
        }
        let reading = Reading::new(&self.retriever, message, own, refers, options)?;
        let findings = self.finder.find(reading.sought(), &reading.hits, self.retriever.embedder())?;
        Ok(self.extract(reading, findings, recognised, language, options))
    }

    /// The language of the reply. Keys hit at random are in none: there it is that of the conversation.
    fn language(&self, message: &str, intent: Intent, earlier: &[&str]) -> &str {
        match intent {
            Intent::Unclear => earlier.last().map_or(DEFAULT_LANGUAGE, |said| self.intents.language(said)),
            _ => self.intents.language(message),
        }
    }

    /// The sentences that answer, in the words of the articles.
    fn extract(
        &self,
        reading: Reading,
        findings: Findings,
        recognised: Recognised,
        language: String,
        options: &AnswerOptions,
    ) -> Answer {
        let Reading { searched, hits, .. } = reading;
        let mut choice = options.choice;
        if is_foreign(&searched, &hits) {
            choice.most_doubt = choice.most_doubt.min(options.most_foreign_doubt);
        }
        // What gives orders to the assistant is no answer to a customer.
        let is_order =
            |evidence: &&Evidence| self.intents.recognise(&evidence.text, &[]).intent == Intent::Injection;
        let chosen = choice.answer(&findings).into_iter().filter(|evidence| !is_order(evidence));
        let mut passages: Vec<usize> = Vec::new();
        let mut sentences = Vec::new();
        let mut text = String::new();
        for evidence in chosen {
            let passage = passages.iter().position(|hit| *hit == evidence.hit).unwrap_or_else(|| {
                passages.push(evidence.hit);
                passages.len() - 1
            });
            let gap = if text.is_empty() { "" } else { " " };
            text.push_str(&format!("{gap}{} [{}]", evidence.text, passage + 1));
            sentences.push(Cited {
                text: evidence.text.clone(),
                passage,
                range: evidence.range.clone(),
                probability: evidence.probability,
            });
        }
        let outcome = if sentences.is_empty() { Outcome::NoAnswer } else { Outcome::Answered };
        if sentences.is_empty() {
            text = self.replies.no_answer(&language);
        }
        let passages = passages.into_iter().filter_map(|hit| hits.get(hit).cloned()).collect();
        Answer {
            text,
            outcome,
            recognised,
            language,
            sentences,
            passages,
            no_answer: findings.no_answer,
            searched,
        }
    }
}

/// Whether a question seems to be in another language than the passages read for it. A few words do not tell.
pub(crate) fn is_foreign(question: &str, hits: &[Hit]) -> bool {
    let read: String = hits.iter().take(2).map(|hit| hit.text.as_str()).collect();
    question.split_whitespace().count() > 3 && Language::of(question) != Language::of(&read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bag_of_words::BagOfWords;
    use crate::{Document, EvidenceWeights, Examples, IndexOptions};

    fn answerer() -> Answerer {
        let document = |id: &str, title: &str, text: &str| Document {
            id: id.into(),
            title: title.into(),
            text: text.into(),
            source: format!("{id}.md"),
            ..Document::default()
        };
        let documents = [
            document(
                "express",
                "Express delivery",
                "Express delivery costs £8.90 per order. It arrives on the next day.",
            ),
            document(
                "returns",
                "Returns",
                "You can return an item within 30 days. The return label is free.",
            ),
        ];
        let retriever =
            Retriever::of(&documents, Box::new(BagOfWords::default()), IndexOptions::default(), None)
                .unwrap();
        let intents = Intents::new(Examples::shipped().unwrap(), retriever.embedder(), None).unwrap();
        let finder = EvidenceFinder::new(EvidenceWeights::plain());
        Answerer::new(retriever, finder, intents, Replies::shipped().unwrap(), AnswerOptions::default())
    }

    #[test]
    fn an_answer_is_made_of_the_articles_sentences() {
        let answerer = answerer();
        let mut steps = Vec::new();
        answerer.prepare(|done, all| steps.push((done, all))).unwrap();
        assert_eq!(steps, [(1, 2), (2, 2)]);
        let answer = answerer.answer("What does express delivery cost per order?", &[]).unwrap();
        assert_eq!(answer.outcome, Outcome::Answered);
        assert_eq!(answer.text, "Express delivery costs £8.90 per order. [1]");
        let cited = &answer.sentences[0];
        assert_eq!(answer.passages[cited.passage].text[cited.range.clone()], cited.text);
        assert_eq!(answer.passages.len(), 1, "only what is cited");
    }

    #[test]
    fn what_the_articles_do_not_say_is_not_answered() {
        let answer = answerer().answer("Wer hat gestern Abend das Spiel gewonnen?", &[]).unwrap();
        assert_eq!((answer.outcome, answer.language.as_str()), (Outcome::NoAnswer, "de"));
        assert!(answer.sentences.is_empty() && answer.passages.is_empty());
        assert_eq!(answer.text, Replies::shipped().unwrap().no_answer("de"));
    }

    #[test]
    fn a_follow_up_is_read_with_the_question_before() {
        let earlier = ["What does express delivery cost per order?"];
        let answer = answerer().answer("and does it arrive on the next day?", &earlier).unwrap();
        assert_eq!(answer.searched, format!("{}\nand does it arrive on the next day?", earlier[0]));
        assert_eq!(answer.passages[0].document, "express");
    }

    #[test]
    fn thanks_in_between_are_nothing_to_refer_to() {
        let earlier = ["What does express delivery cost per order?", "thanks"];
        let answer = answerer().answer("and does it arrive on the next day?", &earlier).unwrap();
        assert_eq!(answer.searched, format!("{}\nand does it arrive on the next day?", earlier[0]));
    }

    #[test]
    fn a_wish_for_a_person_is_granted_and_small_talk_answered() {
        let answerer = answerer();
        assert_eq!(answerer.answer("I want to talk to a human", &[]).unwrap().outcome, Outcome::Handoff);
        let hello = answerer.answer("hello", &[]).unwrap();
        assert_eq!((hello.outcome, hello.recognised.intent), (Outcome::Talk, Intent::Greeting));
        let earlier = ["Wie lange dauert die Lieferung?", "danke"];
        let keys = answerer.answer("asdfghjkl", &earlier).unwrap();
        assert_eq!((keys.outcome, keys.language.as_str()), (Outcome::Talk, "de"));
    }
}
