//! What kind of message a customer sent: a question, or what is answered without looking anything up.
//!
//! A support question must not be swallowed, so a message is a question until it is shown to be something else:
//!
//! 1. by its form: nothing but symbols, keys hit at random, the prompt's own markers typed in
//! 2. by word patterns that are certain, for injections and the wish for a human anywhere in it
//! 3. by its sentences, if each of them is an example, a near copy of one by its letters, or has a pattern
//! 4. by the vectors of the examples: the nearest of another kind is near enough, and nearer than the nearest
//!    question by a margin
//!
//! A greeting or thanks before or after something else counts for nothing: "Hi, how do I cancel?" is a question.

mod cue;
mod example;
mod gibberish;
mod language;
mod message;
mod ngrams;
mod vectors;

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Embedder, RagError};
use cue::Cues;
pub use example::{Example, Examples};
use gibberish::LetterPairs;
use language::Languages;
use message::Message;
use ngrams::NGrams;
use vectors::Vectors;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Anything that an article may answer; what is no other kind.
    Question,
    /// "Hi", "can you help me?"
    Greeting,
    /// "Thanks", "that worked", "ok".
    Thanks,
    /// "Bye", "have a nice day".
    Goodbye,
    /// About the assistant: "are you a robot?", "what can you do?", "how are you?"
    About,
    /// Anger or disappointment that asks nothing.
    Complaint,
    /// Insults and threats.
    Abuse,
    /// A wish to be heard by a person.
    Human,
    /// An attempt to give the assistant other instructions, to learn its own, or to put words in its mouth.
    Injection,
    /// Chit-chat and general knowledge: jokes, weather, poems.
    OffTopic,
    /// Nothing that can be understood.
    Unclear,
}

impl Intent {
    /// All, in the order of their declaration.
    pub const ALL: [Intent; 11] = [
        Intent::Question,
        Intent::Greeting,
        Intent::Thanks,
        Intent::Goodbye,
        Intent::About,
        Intent::Complaint,
        Intent::Abuse,
        Intent::Human,
        Intent::Injection,
        Intent::OffTopic,
        Intent::Unclear,
    ];

    /// Its name in files and answers, such as `off_topic`.
    pub fn name(self) -> &'static str {
        match self {
            Intent::Question => "question",
            Intent::Greeting => "greeting",
            Intent::Thanks => "thanks",
            Intent::Goodbye => "goodbye",
            Intent::About => "about",
            Intent::Complaint => "complaint",
            Intent::Abuse => "abuse",
            Intent::Human => "human",
            Intent::Injection => "injection",
            Intent::OffTopic => "off_topic",
            Intent::Unclear => "unclear",
        }
    }

    /// The intent of that name.
    pub fn named(name: &str) -> Option<Intent> {
        Intent::ALL.into_iter().find(|intent| intent.name() == name)
    }
}

/// How a message was recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognised {
    /// What it is.
    pub intent: Intent,
    /// In `[0, 1]`: 1 for a known message, 0.95 for a word pattern, else the likeness to `nearest`.
    pub confidence: f32,
    /// The example or pattern that decided; for a question, the nearest example if there is any.
    pub nearest: String,
}

/// Confidence of what a word pattern or the form tells.
const CERTAIN: f32 = 0.95;
/// Longest greeting, thanks or goodbye that is taken off a sentence, in words.
const COURTESY: usize = 6;
/// The prompt's markers of various models, in lower case; nobody types them by accident.
const MARKERS: [&str; 12] = [
    "<|",
    "|>",
    "[inst]",
    "[/inst]",
    "<<sys>>",
    "<</sys>>",
    "</s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "### system",
    "### instruction",
    "### assistant",
];
/// Words that add nothing to a courtesy: "hi there everyone", "thanks so much for that".
const FILLERS: &str = "there team all everyone everybody guys folks and so very much please then now for that this \
    bot mate sir madam again to you a lot oh ah well um und noch sehr zusammen bitte y por favor muy et a tous \
    svp e per favore molto muito en nog allemaal too just";
/// What wins when sentences differ.
const PRIORITY: [Intent; 10] = [
    Intent::Injection,
    Intent::Human,
    Intent::Abuse,
    Intent::Complaint,
    Intent::About,
    Intent::OffTopic,
    Intent::Unclear,
    Intent::Goodbye,
    Intent::Thanks,
    Intent::Greeting,
];

/// Least cosine of the nearest example's vector, and how much nearer it must be than the nearest question's.
/// Chosen on CLINC150's validation split and BANKING77: the loosest at which fewer than 1 question in 400 is
/// lost.
fn vector_threshold(intent: Intent) -> (f32, f32) {
    match intent {
        Intent::Human | Intent::Injection => (0.65, 0.12),
        Intent::Complaint => (0.55, 0.12),
        Intent::Greeting | Intent::Thanks | Intent::Goodbye | Intent::Abuse => (0.5, 0.08),
        _ => (0.6, 0.12),
    }
}

/// The same of near copies by their letters.
fn letters_threshold(intent: Intent) -> (f32, f32) {
    match intent {
        Intent::Human | Intent::Injection => (0.62, 0.15),
        Intent::Greeting | Intent::Thanks | Intent::Goodbye | Intent::Abuse | Intent::Complaint => {
            (0.54, 0.1)
        }
        _ => (0.6, 0.12),
    }
}

/// Tells what kind a message is.
#[derive(Debug, Clone)]
pub struct Intents {
    examples: Examples,
    /// Examples by their words.
    known: HashMap<String, usize>,
    cues: Cues,
    ngrams: NGrams,
    pairs: LetterPairs,
    languages: Languages,
    /// The examples that have vectors, and these.
    embedded: Vec<usize>,
    vectors: Vectors,
}

impl Intents {
    /// Compares messages with `examples`. Those in English are embedded, with a multilingual embedder the others
    /// are near them; the others are also known by their letters.
    ///
    /// The vectors are kept in the folder `cache`, if there is one, so that only the first start costs time.
    ///
    /// # Errors
    /// If an example cannot be embedded, or the cache not written.
    pub fn new(examples: Examples, embedder: &dyn Embedder, cache: Option<&Path>) -> Result<Self, RagError> {
        let cues = Cues::shipped().map_err(|reason| RagError::file(Path::new("intent-cues.txt"), reason))?;
        let list = examples.list();
        let plain: Vec<String> = list.iter().map(|example| Message::of(&example.text).text()).collect();
        let known = plain.iter().zip(0..).filter(|(text, _)| !text.is_empty());
        let known = known.map(|(text, number)| (text.clone(), number)).collect();
        let ngrams = NGrams::of(plain.iter().map(String::as_str));
        let said = list.iter().zip(&plain).filter(|(example, _)| example.intent != Intent::Unclear);
        let pairs = LetterPairs::of(said.flat_map(|(_, text)| text.split(' ')));
        let languages = Languages::of(list);
        // A vector of symbols is near any text that the embedder has no tokens for.
        let is_embedded = |number: &usize| {
            list.get(*number).is_some_and(|example| example.language == "en")
                && plain.get(*number).is_some_and(|text| !text.is_empty())
        };
        let embedded: Vec<usize> = (0..list.len()).filter(is_embedded).collect();
        let texts: Vec<&str> = embedded
            .iter()
            .filter_map(|number| list.get(*number))
            .map(|example| example.text.as_str())
            .collect();
        let vectors = Vectors::of(&texts, embedder, cache)?;
        Ok(Intents { examples, known, cues, ngrams, pairs, languages, embedded, vectors })
    }

    /// What `message` is; `vector` is what the embedder makes of it. A vector of another length is not looked at.
    pub fn recognise(&self, message: &str, vector: &[f32]) -> Recognised {
        let parsed = Message::of(message);
        if let Some(recognised) = self.by_form(message, &parsed) {
            return recognised;
        }
        if let Some(recognised) = self.by_certain_cue(&parsed) {
            return recognised;
        }
        self.by_sentences(&parsed).unwrap_or_else(|| self.by_vector(&parsed, vector))
    }

    /// The tag of the language that `message` seems to be in, also if it is only "gracias"; for the choice of the
    /// reply.
    pub fn language(&self, message: &str) -> &str {
        self.languages.detect(message)
    }

    /// A known message, one without words, or with the prompt's markers.
    fn by_form(&self, message: &str, parsed: &Message) -> Option<Recognised> {
        let certain = |intent, nearest: &str| {
            Some(Recognised { intent, confidence: CERTAIN, nearest: nearest.to_string() })
        };
        let lower = message.to_lowercase();
        if let Some(marker) = MARKERS.iter().find(|marker| lower.contains(**marker)) {
            return certain(Intent::Injection, marker);
        }
        let text = parsed.text();
        if text.is_empty() {
            let symbols = message.trim();
            let example = self.examples.list().iter().find(|example| example.text.trim() == symbols);
            return certain(example.map_or(Intent::Unclear, |example| example.intent), symbols);
        }
        if let Some(number) = self.known.get(&text) {
            return self.example(*number, 1.0);
        }
        let all: Vec<&str> = text.split(' ').collect();
        // A lone letter that is not an answer to anything, or what is left of "xxxxxx".
        let is_letter = text.chars().count() == 1 && text.chars().all(|letter| letter.is_ascii_alphabetic());
        if is_letter || self.pairs.is_gibberish(&all) { certain(Intent::Unclear, "") } else { None }
    }

    /// Injections and the wish for a human, which count wherever they stand.
    fn by_certain_cue(&self, parsed: &Message) -> Option<Recognised> {
        for intent in [Intent::Injection, Intent::Human] {
            for sentence in &parsed.sentences {
                if intent == Intent::Human && self.cues.find(sentence, &[Intent::Question]).is_some() {
                    continue;
                }
                let (rest, _) = self.without_courtesies(sentence);
                for part in [sentence.as_slice(), rest] {
                    if let Some(found) = self.cues.find(part, &[intent]) {
                        return Some(Recognised {
                            intent,
                            confidence: CERTAIN,
                            nearest: found.source.into(),
                        });
                    }
                }
            }
        }
        None
    }

    /// The weightiest kind of its sentences, if each is known; one question, or one unknown sentence, is enough
    /// to tell nothing.
    fn by_sentences(&self, parsed: &Message) -> Option<Recognised> {
        let mut all = Vec::new();
        for sentence in &parsed.sentences {
            all.push(
                self.of_sentence(sentence, parsed.has_question_mark)
                    .filter(|recognised| recognised.intent != Intent::Question)?,
            );
        }
        let rank = |recognised: &Recognised| PRIORITY.iter().position(|intent| *intent == recognised.intent);
        all.into_iter().min_by_key(rank)
    }

    fn of_sentence(&self, sentence: &[String], has_question_mark: bool) -> Option<Recognised> {
        let (rest, courtesy) = self.without_courtesies(sentence);
        for part in [sentence, rest] {
            if let Some(number) = self.known.get(&part.join(" ")) {
                return self.example(*number, 1.0);
            }
        }
        if self.cues.find(sentence, &[Intent::Question]).is_some() {
            return None;
        }
        let is_filler = |word: &String| FILLERS.split_ascii_whitespace().any(|filler| filler == word);
        if let Some(number) = courtesy.filter(|_| rest.iter().all(is_filler)) {
            return self.example(number, CERTAIN);
        }
        let others = [Intent::Abuse, Intent::About, Intent::OffTopic, Intent::Complaint];
        if let Some(found) = self.cues.find(rest, &others) {
            return Some(Recognised {
                intent: found.intent,
                confidence: CERTAIN,
                nearest: found.source.into(),
            });
        }
        let (number, cosine) = self.nearest(self.ngrams.likeness(&rest.join(" ")), letters_threshold)?;
        let alone = Message { sentences: vec![rest.to_vec()], has_question_mark };
        self.example(number, cosine).filter(|recognised| alone.may_be(recognised.intent))
    }

    /// `sentence` without the greetings, thanks and goodbyes that it begins and ends with, and the weightiest of
    /// them.
    fn without_courtesies<'a>(&self, sentence: &'a [String]) -> (&'a [String], Option<usize>) {
        let courtesy = |words: &[String]| {
            let number = *self.known.get(&words.join(" "))?;
            let intent = self.examples.list().get(number)?.intent;
            matches!(intent, Intent::Greeting | Intent::Thanks | Intent::Goodbye).then_some(number)
        };
        let mut rest = sentence;
        let mut found: Vec<usize> = Vec::new();
        'again: loop {
            for count in (1..=COURTESY.min(rest.len())).rev() {
                let (start, after) = rest.split_at(count);
                if let Some(number) = courtesy(start) {
                    found.push(number);
                    rest = after;
                    continue 'again;
                }
                let (before, end) = rest.split_at(rest.len() - count);
                if let Some(number) = courtesy(end) {
                    found.push(number);
                    rest = before;
                    continue 'again;
                }
            }
            break;
        }
        let rank = |number: &usize| {
            let intent = self.examples.list().get(*number).map(|example| example.intent);
            PRIORITY.iter().position(|other| Some(*other) == intent)
        };
        (rest, found.into_iter().min_by_key(rank))
    }

    /// By the nearest example, or a question.
    fn by_vector(&self, parsed: &Message, vector: &[f32]) -> Recognised {
        let likeness: Vec<(usize, f32)> =
            self.embedded.iter().copied().zip(self.vectors.likeness(vector)).collect();
        let nearest = self.nearest(likeness.iter().copied(), vector_threshold);
        let accepted = nearest.and_then(|(number, cosine)| self.example(number, cosine));
        let vetoed =
            || parsed.sentences.iter().any(|words| self.cues.find(words, &[Intent::Question]).is_some());
        let accepted = accepted.filter(|recognised| {
            parsed.may_be(recognised.intent) && (recognised.intent != Intent::Human || !vetoed())
        });
        accepted.unwrap_or_else(|| {
            let of_question = |(number, _): &&(usize, f32)| {
                self.examples.list().get(*number).is_some_and(|example| example.intent == Intent::Question)
            };
            let question = likeness.iter().filter(of_question).max_by(|a, b| a.1.total_cmp(&b.1));
            let question = question.and_then(|(number, cosine)| self.example(*number, *cosine));
            question.unwrap_or(Recognised {
                intent: Intent::Question,
                confidence: 0.0,
                nearest: String::new(),
            })
        })
    }

    /// The nearest example that is no question, if it is near enough, and nearer than the nearest question.
    fn nearest(
        &self,
        likeness: impl IntoIterator<Item = (usize, f32)>,
        threshold: impl Fn(Intent) -> (f32, f32),
    ) -> Option<(usize, f32)> {
        let mut question = 0.0f32;
        let mut best: Option<(usize, f32, Intent)> = None;
        for (number, cosine) in likeness {
            match self.examples.list().get(number)?.intent {
                Intent::Question => question = question.max(cosine),
                intent if best.is_none_or(|(_, most, _)| cosine > most) => {
                    best = Some((number, cosine, intent))
                }
                _ => {}
            }
        }
        let (number, cosine, intent) = best?;
        let (least, margin) = threshold(intent);
        (cosine >= least && cosine - question >= margin).then_some((number, cosine))
    }

    fn example(&self, number: usize, confidence: f32) -> Option<Recognised> {
        let example = self.examples.list().get(number)?;
        let confidence = confidence.clamp(0.0, 1.0);
        Some(Recognised { intent: example.intent, confidence, nearest: example.text.clone() })
    }
}

#[cfg(test)]
mod tests;
