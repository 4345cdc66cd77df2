//! `server calibrate`: learns which sentences answer a question, and when none does.
//!
//! Each article is written once in a knowledge base, with the facts of one row, and asked that row's question, so
//! that what is learned from was found as it is when customers ask.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use anyhow::{Context, ensure};
use llama::hub::catalog;
use rag::evidence::{Example, ReadExample, UnitText, fit, fit_reranking};
use rag::{
    AnswerOptions, Document, Embedder, EvidenceFinder, EvidenceWeights, Hit, IndexOptions, Reading,
    Retriever, refers_to,
};
use serde::{Deserialize, Serialize};

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

/// A question with the sentences that were read for it.
#[derive(Debug, Clone, Serialize)]
struct Found {
    business: String,
    /// With the question that it refers to, on a line before it.
    question: String,
    candidates: Vec<String>,
    /// Of each candidate, as the finder takes it to be the answer.
    probabilities: Vec<f32>,
    /// Which candidates answer.
    evidence: Vec<usize>,
    #[serde(skip)]
    example: Example,
    /// With the scores of a cross-encoder, where there is one.
    #[serde(skip)]
    read: Option<ReadExample>,
}

fn write_line(file: &mut impl Write, found: &Found) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *file, found)?;
    Ok(file.write_all(b"\n")?)
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
    // A cross-encoder is weighed against the weights that it will be served with.
    let shipped = || match &arguments.reranker {
        Some(_) => knowledge::shipped_weights(&arguments.embedder),
        None => catalog::name_of(&arguments.embedder)
            .and_then(EvidenceWeights::shipped)
            .unwrap_or_else(EvidenceWeights::plain),
    };
    let weights = arguments.evidence.as_deref().map(knowledge::weights).transpose()?;
    let mut finder = EvidenceFinder::new(weights.unwrap_or_else(shipped));
    if let Some(folder) = &arguments.reranker {
        finder = finder.with_reranker(knowledge::reranker(folder, &device)?);
    }
    let options = knowledge::options(&arguments.embedder);
    let named = || arguments.found.as_ref().map_or(String::new(), |file| file.display().to_string());
    let mut found_file = match &arguments.found {
        Some(file) => Some(BufWriter::new(File::create(file).with_context(|| file.display().to_string())?)),
        None => None,
    };
    let mut businesses = Vec::new();
    let mut missed = 0;
    let bar = knowledge::progress("asking", rows.len() * arguments.rounds);
    for articles in rows.values() {
        let mut examples = Vec::new();
        for round in 0..arguments.rounds {
            let rows: Vec<&Row> = articles.values().filter_map(|rows| rows.get(round)).collect();
            if rows.len() >= FEWEST {
                let (asked, not_read) = ask(&rows, &embedder, &finder, &options)?;
                if let Some(file) = &mut found_file {
                    asked.iter().try_for_each(|found| write_line(file, found)).with_context(named)?;
                }
                examples.extend(asked);
                missed += not_read;
            }
            bar.inc(1);
        }
        businesses.push(examples);
    }
    bar.finish_and_clear();
    if let Some(file) = &mut found_file {
        file.flush().with_context(named)?;
    }
    let all = businesses.iter().flatten().count();
    ensure!(all > 0, "{}: too few articles to search among", arguments.data.display());
    let found = businesses.iter().flatten().filter(|found| !found.evidence.is_empty()).count();
    eprintln!("{all} questions, {found} with evidence; of {missed} more it was not found");
    ensure!(
        businesses.len() > 1,
        "{}: one kind of business alone cannot be checked",
        arguments.data.display()
    );
    if let (Some(folder), Some(reranker)) = (&arguments.reranker, finder.reranker()) {
        let depth = reranker.weights().depth();
        let examples = of_each(&businesses, |found| found.read.clone());
        let fit = |examples: &[ReadExample]| fit_reranking(examples, depth, L2, STEPS);
        let weights = learn(&examples, fit, |weights, example| {
            (example.evidence.clone(), example.probabilities(weights))
        });
        return Ok(weights.save(folder)?);
    }
    let examples = of_each(&businesses, |found| Some(found.example.clone()));
    let weights = learn(
        &examples,
        |examples| fit(examples, L2, STEPS),
        |weights, example| (example.evidence.clone(), weights.probabilities(&example.features)),
    );
    let text = serde_json::to_string_pretty(&weights)? + "\n";
    let Some(output) = &arguments.output else { return Ok(()) };
    fs::write(output, text).with_context(|| output.display().to_string())
}

/// What is learned from each question, by business.
fn of_each<E>(businesses: &[Vec<Found>], example: impl Fn(&Found) -> Option<E>) -> Vec<Vec<E>> {
    businesses.iter().map(|found| found.iter().filter_map(&example).collect()).collect()
}

/// Learns weights from all examples, and tells how well those learned from some businesses do on the others.
/// `judge` gives an example's evidence, the probabilities of its candidates and that of none.
fn learn<E: Clone, W>(
    businesses: &[Vec<E>],
    fit: impl Fn(&[E]) -> W,
    judge: impl Fn(&W, &E) -> (Vec<usize>, (Vec<f32>, f32)),
) -> W {
    let folds = FOLDS.min(businesses.len());
    let mut held_out = Tally::default();
    for fold in 0..folds {
        let part = |out: bool| -> Vec<E> {
            let numbers = (0..businesses.len()).filter(|business| (business % folds == fold) == out);
            numbers.flat_map(|business| businesses[business].clone()).collect()
        };
        let weights = fit(&part(false));
        part(true).iter().for_each(|example| held_out.add(judge(&weights, example)));
    }
    eprintln!("businesses not learned from: {held_out}");
    fit(&businesses.concat())
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
) -> anyhow::Result<(Vec<Found>, usize)> {
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
            let (probabilities, _) = finder.weights().probabilities(&features);
            let texts: Vec<String> = units.into_iter().map(|unit| unit.titled).collect();
            let read = match finder.reranker() {
                None => None,
                Some(reranker) => {
                    let (candidates, none) = finder.weights().scores(&features);
                    let text = |index: usize| texts[index].clone();
                    let read = reranker.read(&reading.searched, text, &candidates)?;
                    Some(ReadExample { candidates, none, read, evidence: evidence.clone() })
                }
            };
            examples.push(Found {
                business: row.business.clone(),
                question: reading.searched.clone(),
                candidates: texts,
                probabilities,
                evidence: evidence.clone(),
                example: Example { features, evidence },
                read,
            });
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
    fn found_in(&self, hits: &[Hit], units: &[UnitText]) -> Vec<usize> {
        let sentence = |(passage, sentence): &(usize, usize)| {
            self.passages.get(*passage).and_then(|passage| passage.sentences.get(*sentence))
        };
        let wanted: Vec<Vec<String>> =
            self.evidence.iter().filter_map(sentence).map(|text| words(text)).collect();
        let holds = |unit: &UnitText| {
            let text = words(&unit.text);
            let is_own = hits.get(unit.hit).is_some_and(|hit| hit.document == self.article);
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
    fn add(&mut self, (evidence, (p, none)): (Vec<usize>, (Vec<f32>, f32))) {
        let best = p.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index);
        let is_refused = usize::from(none > 0.5);
        if evidence.is_empty() {
            self.without += 1;
            self.refused += is_refused;
        } else {
            self.with += 1;
            self.first += usize::from(best.is_some_and(|best| evidence.contains(&best)));
            self.falsely += is_refused;
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
