//! `server calibrate`: learns which sentences answer a question, and when none does.
//!
//! Each article is written once in a knowledge base, with the facts of one row, and asked that row's question, so
//! that what is learned from was found as it is when customers ask.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use anyhow::{Context, ensure};
use rag::evidence::{Example, fit};
use rag::{
    AnswerOptions, Document, Embedder, EvidenceFinder, EvidenceWeights, Hit, IndexOptions, Reading,
    Retriever, refers_to,
};
use serde::Deserialize;

use crate::answer_questions::{Said, customers_messages};
use crate::cli::CalibrateArgs;
use crate::knowledge;

/// Chosen by how well questions of businesses that were not learned from are answered.
const L2: f32 = 1e-3;
/// Steps of the descent; more change nothing in the third digit.
const STEPS: usize = 300;
/// Parts of the businesses of which each is held out once.
const FOLDS: usize = 3;
/// Documents of a knowledge base, at least: fewer are no search.
const FEWEST: usize = 8;

/// A question with passages and the sentences that answer it.
#[derive(Debug, Deserialize)]
struct Row {
    question: String,
    #[serde(default)]
    history: Vec<Said>,
    kind: String,
    #[serde(default)]
    business: String,
    #[serde(default)]
    article: String,
    passages: Vec<Passage>,
    /// Passage and sentence, each from 0.
    evidence: Vec<(usize, usize)>,
}

#[derive(Debug, Deserialize)]
struct Passage {
    title: String,
    #[serde(default)]
    heading: String,
    text: String,
    sentences: Vec<String>,
}

/// Learns from a file of questions and writes the weights.
///
/// # Errors
/// If the file has no questions of articles, or the weights cannot be written.
pub fn run(arguments: &CalibrateArgs) -> anyhow::Result<()> {
    let device = engine::device::parse(&arguments.device)?;
    let rows = read(&arguments.data)?;
    let embedder: Arc<dyn Embedder> =
        knowledge::embedder(&arguments.embedder, &device, "calibration")?.into();
    let finder = EvidenceFinder::new(EvidenceWeights::plain());
    let options = knowledge::options(&arguments.embedder);
    let mut businesses = Vec::new();
    let mut missed = 0;
    let bar = knowledge::progress("asking", rows.len() * arguments.rounds);
    for articles in rows.values() {
        let mut examples = Vec::new();
        for round in 0..arguments.rounds {
            let rows: Vec<&Row> = articles.values().filter_map(|rows| rows.get(round)).collect();
            if rows.len() >= FEWEST {
                let (asked, not_read) = ask(&rows, &embedder, &finder, &options)?;
                examples.extend(asked);
                missed += not_read;
            }
            bar.inc(1);
        }
        businesses.push(examples);
    }
    bar.finish_and_clear();
    let all: Vec<Example> = businesses.concat();
    ensure!(!all.is_empty(), "{}: too few articles to search among", arguments.data.display());
    let found = all.iter().filter(|example| !example.evidence.is_empty()).count();
    eprintln!("{} questions, {found} with evidence; of {missed} more it was not found", all.len());
    let mut held_out = Tally::default();
    ensure!(
        businesses.len() > 1,
        "{}: one kind of business alone cannot be checked",
        arguments.data.display()
    );
    for fold in 0..FOLDS.min(businesses.len()) {
        let is_out = |business: &usize| business % FOLDS == fold;
        let part = |out: bool| -> Vec<Example> {
            let numbers = (0..businesses.len()).filter(|business| is_out(business) == out);
            numbers.flat_map(|business| businesses[business].clone()).collect()
        };
        held_out.add(&fit(&part(false), L2, STEPS), &part(true));
    }
    eprintln!("businesses not learned from: {held_out}");
    let weights = fit(&all, L2, STEPS);
    let text = serde_json::to_string_pretty(&weights)? + "\n";
    fs::write(&arguments.output, text).with_context(|| arguments.output.display().to_string())
}

/// Rows by business and article.
fn read(file: &Path) -> anyhow::Result<BTreeMap<String, BTreeMap<String, Vec<Row>>>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut rows: BTreeMap<String, BTreeMap<String, Vec<Row>>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Row =
            serde_json::from_str(line).with_context(|| format!("{}, line {}", file.display(), number + 1))?;
        // Small talk is not looked up, and an injection is not to be followed.
        let is_question =
            !row.kind.starts_with("talk") && row.kind != "injection" && row.kind != "other-company";
        if is_question && !row.article.is_empty() && !row.passages.is_empty() {
            rows.entry(row.business.clone()).or_default().entry(row.article.clone()).or_default().push(row);
        }
    }
    Ok(rows)
}

/// Asks the rows' questions in a knowledge base of their articles; of how many the evidence was not read.
fn ask(
    rows: &[&Row],
    embedder: &Arc<dyn Embedder>,
    finder: &EvidenceFinder,
    options: &AnswerOptions,
) -> anyhow::Result<(Vec<Example>, usize)> {
    let documents: Vec<Document> = rows.iter().map(|row| row.document()).collect();
    let retriever = Retriever::of(&documents, Box::new(embedder.clone()), IndexOptions::default(), None)?;
    let mut examples = Vec::new();
    let mut missed = 0;
    for row in rows {
        let earlier = customers_messages(&row.history);
        let before = refers_to(&row.question, &earlier);
        let own = retriever.embed(&row.question)?;
        let reading = Reading::new(&retriever, &row.question, own, before, options)?;
        let (features, units) = finder.features(reading.sought(), &reading.hits, retriever.embedder())?;
        let evidence = row.found_in(&reading.hits, &units);
        // What is there but was not read teaches nothing about what was read.
        if row.evidence.is_empty() || !evidence.is_empty() {
            examples.push(Example { features, evidence });
        } else {
            missed += 1;
        }
    }
    Ok((examples, missed))
}

impl Row {
    /// The article as this row tells it.
    fn document(&self) -> Document {
        let main = self.evidence.first().map_or(0, |(passage, _)| *passage);
        let title =
            self.passages.get(main).or(self.passages.first()).map_or("", |passage| passage.title.as_str());
        let mut text = format!("# {title}\n");
        for passage in self.passages.iter().filter(|passage| passage.title == title) {
            if !passage.heading.is_empty() {
                text.push_str(&format!("\n## {}\n", passage.heading));
            }
            text.push_str(&format!("\n{}\n", passage.text));
        }
        Document {
            id: self.article.clone(),
            title: title.into(),
            text,
            source: self.article.clone(),
            ..Document::default()
        }
    }

    /// Which units are the sentences that answer.
    fn found_in(&self, hits: &[Hit], units: &[(usize, String)]) -> Vec<usize> {
        let sentence = |(passage, sentence): &(usize, usize)| {
            self.passages.get(*passage).and_then(|passage| passage.sentences.get(*sentence))
        };
        let wanted: Vec<Vec<String>> =
            self.evidence.iter().filter_map(sentence).map(|text| words(text)).collect();
        let holds = |(hit, text): &(usize, String)| {
            let text = words(text);
            let is_own = hits.get(*hit).is_some_and(|hit| hit.document == self.article);
            is_own && wanted.iter().any(|wanted| is_same(wanted, &text))
        };
        units.iter().enumerate().filter(|(_, unit)| holds(unit)).map(|(index, _)| index).collect()
    }
}

/// The words and figures of a text, in lower case and sorted.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.map(str::to_lowercase).collect();
    words.sort_unstable();
    words
}

/// Whether two texts say the same, though a row of a table may name its columns in another way and a long item be
/// cut: nearly all words of the shorter stand in the longer, which is not much longer.
fn is_same(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let mut rest = long.to_vec();
    let mut shared = 0;
    for word in short {
        if let Ok(at) = rest.binary_search(word) {
            rest.remove(at);
            shared += 1;
        }
    }
    !short.is_empty() && 10 * shared >= 9 * short.len() && 10 * shared >= 6 * long.len()
}

/// How questions were answered whose evidence is known.
#[derive(Debug, Default)]
struct Tally {
    /// Questions with evidence that was found; those whose likeliest sentence is evidence; those refused.
    with: usize,
    first: usize,
    falsely: usize,
    /// Questions without; those refused.
    without: usize,
    refused: usize,
}

impl Tally {
    fn add(&mut self, weights: &EvidenceWeights, examples: &[Example]) {
        for example in examples {
            let (p, none) = weights.probabilities(&example.features);
            let best = p.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index);
            let is_refused = usize::from(none > 0.5);
            if example.evidence.is_empty() {
                self.without += 1;
                self.refused += is_refused;
            } else {
                self.with += 1;
                self.first += usize::from(best.is_some_and(|best| example.evidence.contains(&best)));
                self.falsely += is_refused;
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        write!(
            f,
            "the likeliest sentence is evidence in {:.1} % of {} questions, {:.1} % are refused; of {} without \
             evidence {:.1} % are refused",
            share(self.first, self.with),
            self.with,
            share(self.falsely, self.with),
            self.without,
            share(self.refused, self.without)
        )
    }
}
