//! What an answer may say: the units of its passages, prepared for comparison.

use std::collections::{HashMap, HashSet};

use super::figure::{self, Figure, Marks, normal_name};
use super::polarity::has_opposite;
use super::unit::{Unit, UnitKind, units};
use super::words::words;
use crate::lexical::Language;

/// Bytes of a passage that suffice to tell its language; a shorter one is taken for that of all passages.
const LEAST: usize = 100;

/// Bytes of a longer one that are read for it.
const SAMPLE: usize = 600;

/// First words of a sentence that speaks of what the sentence before it named.
const REFERRING: &[&str] = &[
    "it", "its", "this", "that", "these", "those", "they", "he", "she", "es", "sie", "dies", "diese",
    "dieser", "das", "er", "esto", "este", "esta", "estos", "estas", "il", "elle", "ils", "elles", "ce",
    "cela", "c'est",
];

/// The passages, the question, and all their words.
pub(super) struct Evidence {
    pub passages: Vec<Passage>,
    pub units: Vec<Known>,
    /// Stems of each language with their numbers.
    stems: HashMap<String, u32>,
    /// In how many units each stem stands.
    counts: Vec<u32>,
    /// All figures as they are written.
    pub literals: Vec<String>,
    /// Figures of the question and of what was said before it.
    pub asked: Vec<Figure>,
    /// Words of the question, in lower case, with a space before and after each.
    pub asked_words: String,
}

/// A passage as a whole.
pub(super) struct Passage {
    pub language: Language,
    /// All words, in lower case, with a space before and after each.
    pub words: String,
}

/// A unit, prepared.
pub(super) struct Known {
    pub passage: usize,
    pub unit: Unit,
    /// Numbers of the stems of its words and of those it stands under, sorted.
    pub stems: Vec<u32>,
    pub figures: Vec<Figure>,
    pub clauses: Vec<Clause>,
}

/// A part of a unit with a polarity of its own.
#[derive(Default)]
pub(super) struct Clause {
    /// Numbers of its stems, sorted.
    pub stems: Vec<u32>,
    pub is_negated: bool,
    /// Its words that could contradict others.
    pub poles: Vec<String>,
}

impl Evidence {
    pub fn new(question: &str, passages: &[&str]) -> Self {
        let start = |text: &str| text[..text.floor_char_boundary(SAMPLE)].to_string();
        let whole = || {
            let starts: Vec<String> = passages.iter().map(|text| start(text)).collect();
            Language::of(&starts.join("\n"))
        };
        let mut evidence = Evidence {
            passages: Vec::new(),
            units: Vec::new(),
            stems: HashMap::new(),
            counts: Vec::new(),
            literals: figure::figures(question).into_iter().map(|(at, _)| question[at].to_string()).collect(),
            asked: figure::figures(question).into_iter().map(|(_, figure)| figure).collect(),
            asked_words: format!(" {} ", normal_name(question)),
        };
        for (at, text) in passages.iter().enumerate() {
            let language = if text.len() < LEAST { whole() } else { Language::of(&start(text)) };
            evidence.passages.push(Passage { language, words: format!(" {} ", normal_name(text)) });
            evidence.add(at, text, language);
        }
        for known in &evidence.units {
            for stem in &known.stems {
                if let Some(count) = evidence.counts.get_mut(*stem as usize) {
                    *count += 1;
                }
            }
        }
        evidence
    }

    fn add(&mut self, passage: usize, text: &str, language: Language) {
        let marks = marks(language);
        // Stems cost most: each word of the passage is stemmed once.
        let mut numbers = HashMap::new();
        // Headings and introductions are the same for many units.
        let mut contexts: HashMap<String, (Vec<u32>, Vec<Figure>)> = HashMap::new();
        let mut before: Option<(Vec<u32>, Vec<String>)> = None;
        for unit in units(text) {
            let (own, clauses, first) = self.clauses(&unit.text, language, &mut numbers);
            let mut stems = own.clone();
            let mut figures = self.figures(&unit.text, marks);
            for context in unit.headings.iter().chain(&unit.lead) {
                if !contexts.contains_key(context) {
                    let found = self.clauses(context, language, &mut numbers).0;
                    let figures = self.figures(context, marks);
                    contexts.insert(context.clone(), (found, figures));
                }
                if let Some((found, known)) = contexts.get(context) {
                    stems.extend(found);
                    figures.extend(known.iter().cloned());
                }
            }
            let is_sentence = unit.kind == UnitKind::Sentence;
            if let Some((earlier, headings)) = &before
                && is_sentence
                && *headings == unit.headings
                && REFERRING.contains(&first.as_str())
            {
                stems.extend(earlier);
            }
            stems.sort_unstable();
            stems.dedup();
            before = is_sentence.then(|| (own, unit.headings.clone()));
            self.units.push(Known { passage, unit, stems, figures, clauses });
        }
    }

    fn figures(&mut self, text: &str, marks: Marks) -> Vec<Figure> {
        let found = figure::read(text, marks);
        self.literals.extend(found.iter().map(|(range, _)| text[range.clone()].to_string()));
        found.into_iter().map(|(_, figure)| figure).collect()
    }

    fn number(&mut self, stem: String) -> u32 {
        let next = self.counts.len() as u32;
        let number = *self.stems.entry(stem).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }

    /// The stems of `text`, its clauses, and its first word.
    fn clauses(
        &mut self,
        text: &str,
        language: Language,
        numbers: &mut HashMap<String, u32>,
    ) -> (Vec<u32>, Vec<Clause>, String) {
        let mut stems = Vec::new();
        let mut clauses: Vec<Clause> = Vec::new();
        let mut first = String::new();
        for word in words(text, language) {
            if clauses.len() <= word.clause {
                clauses.resize_with(word.clause + 1, Clause::default);
            }
            let Some(clause) = clauses.last_mut() else { continue };
            clause.is_negated |= word.is_negation;
            if has_opposite(&word.lower) {
                clause.poles.push(word.lower.clone());
            }
            if word.has_content {
                let number = match numbers.get(&word.lower) {
                    Some(number) => *number,
                    None => {
                        let number = self.number(word.stem(language));
                        numbers.insert(word.lower.clone(), number);
                        number
                    }
                };
                clause.stems.push(number);
                stems.push(number);
            }
            if first.is_empty() {
                first = word.lower;
            }
        }
        clauses.retain(|clause| !clause.stems.is_empty());
        for clause in &mut clauses {
            clause.stems.sort_unstable();
            clause.stems.dedup();
        }
        (stems, clauses, first)
    }

    /// Numbers of the stems that mean the same as `stem`: itself, and those with a slightly longer or
    /// shorter ending ("deliver", "deliveri").
    pub fn like(&self, stem: &str) -> Vec<u32> {
        const LEAST: usize = 5;
        const MOST_MORE: usize = 2;
        if let Some(number) = self.stems.get(stem) {
            return vec![*number];
        }
        let is_near = |known: &str| {
            let (short, long) = if known.len() < stem.len() { (known, stem) } else { (stem, known) };
            short.len() >= LEAST && long.len() - short.len() <= MOST_MORE && long.starts_with(short)
        };
        self.stems.iter().filter(|(known, _)| is_near(known)).map(|(_, number)| *number).collect()
    }

    /// How much a word with these stems tells: the fewer units have it, the more.
    pub fn weight(&self, stems: &[u32]) -> f32 {
        let count = stems.iter().filter_map(|stem| self.counts.get(*stem as usize)).max();
        let (all, count) = (self.units.len() as f32, count.copied().unwrap_or(0) as f32);
        1.0 + 0.5 * ((all + 1.0) / (count + 1.0)).ln()
    }

    /// The languages of the passages.
    pub fn languages(&self) -> HashSet<Language> {
        self.passages.iter().map(|passage| passage.language).collect()
    }

    /// Whether the words of a name stand together in the question.
    pub fn asks_for(&self, name: &str) -> bool {
        self.asked_words.contains(&format!(" {name} "))
    }
}

/// The decimal mark of a language.
fn marks(language: Language) -> Marks {
    match language {
        Language::English => Marks::Point,
        Language::Arabic | Language::Other => Marks::Unknown,
        _ => Marks::Comma,
    }
}
