//! `server eval`: how well the documents that answer questions are found.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, ensure};
use rag::{IndexOptions, Interval, Quality, Retriever, Selection, Weights, interval};
use serde::Serialize;

use crate::cli::EvalArgs;
use crate::knowledge;
use crate::questions::{self, Question};

/// Documents of a ranking that are judged.
const JUDGED: usize = 50;

/// A measurement and how it is taken from one question.
type Measure = (&'static str, fn(&Quality) -> f64);

/// What is measured of each ranking, by name.
const MEASURES: [Measure; 6] = [
    ("hit@1", |quality| quality.hit_1),
    ("hit@3", |quality| quality.hit_3),
    ("recall@5", |quality| quality.recall_5),
    ("recall@50", |quality| quality.recall_50),
    ("mrr@10", |quality| quality.mrr_10),
    ("ndcg@10", |quality| quality.ndcg_10),
];

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    /// How documents were ranked.
    ranking: String,
    /// Questions.
    questions: usize,
    /// Each measure's mean and interval.
    measures: Vec<Measured>,
    /// Milliseconds to embed a question and to search, the median.
    embed_ms: f64,
    search_ms: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    name: &'static str,
    mean: f64,
    low: f64,
    high: f64,
}

/// Measures what the command line asks and prints a row for each way to rank.
///
/// # Errors
/// If the documents or questions cannot be read, or judgements name documents that are not there.
pub fn run(arguments: &EvalArgs) -> anyhow::Result<()> {
    let device = engine::device::parse(&arguments.device)?;
    let file = arguments.questions.as_deref().context("--questions is missing")?;
    let questions = questions::read(file, arguments.qrels.as_deref(), arguments.only)?;
    let mut rows = Vec::new();
    let titles: &[bool] = if arguments.ablation { &[true, false] } else { &[true] };
    for &embed_titles in titles {
        let retriever = knowledge::retriever(
            &arguments.knowledge,
            false,
            None,
            &arguments.embedder,
            &device,
            IndexOptions { embed_titles },
        )?;
        check_documents(&retriever, &questions)?;
        let asked = embed(&retriever, &questions)?;
        for (name, selection) in selections(arguments.ablation) {
            let name = if embed_titles { name } else { format!("{name}, titles not embedded") };
            rows.push(measure(&retriever, &questions, &asked, name, selection)?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    Ok(())
}

/// The ways to rank, by name.
fn selections(ablation: bool) -> Vec<(String, Selection)> {
    let default = Selection::default().without_threshold();
    let mut named = vec![("default".to_string(), default)];
    if !ablation {
        return named;
    }
    let weights = |dense, passages, documents| Weights { dense, passages, documents };
    let dense = Selection { weights: weights(1.0, 0.0, 0.0), document_mean: 0.0, ..default };
    named.push(("dense".into(), dense));
    for document_mean in [0.1, 0.2, 0.3, 0.5] {
        named.push((format!("dense, {document_mean} of the mean"), Selection { document_mean, ..dense }));
    }
    for (name, weights) in [
        ("BM25 of passages", weights(0.0, 1.0, 0.0)),
        ("BM25 of documents", weights(0.0, 0.0, 1.0)),
        ("BM25 of both", weights(0.0, 1.0, 1.0)),
    ] {
        named.push((name.into(), Selection { weights, ..default }));
    }
    for (d, p, w) in [
        (1.0, 1.0, 0.0),
        (1.0, 0.0, 1.0),
        (1.0, 0.5, 0.5),
        (1.0, 1.0, 1.0),
        (1.0, 0.25, 0.25),
        (1.0, 0.25, 0.75),
        (1.0, 0.5, 1.0),
        (1.0, 0.5, 1.5),
        (1.0, 1.0, 2.0),
    ] {
        let selection = Selection { weights: weights(d, p, w), ..default };
        named.push((format!("fused {d} : {p} : {w}"), selection));
    }
    for document_mean in [0.0, 0.2, 0.4] {
        named.push((format!("default, {document_mean} of the mean"), Selection { document_mean, ..default }));
    }
    for lambda in [0.5, 0.8] {
        named.push((format!("default, novelty (lambda {lambda})"), Selection { lambda, ..default }));
    }
    named
}

/// A judgement of a document that is not there would silently count as a miss.
fn check_documents(retriever: &Retriever, questions: &[Question]) -> anyhow::Result<()> {
    let snapshot = retriever.index().snapshot();
    let known: HashSet<&str> = snapshot.documents().map(|document| document.id).collect();
    let wanted = questions.iter().flat_map(|question| question.gains.keys());
    let missing: Vec<&String> = wanted.filter(|id| !known.contains(id.as_str())).collect();
    ensure!(
        missing.is_empty(),
        "{} judgements name documents that the knowledge base does not have, `{}` for one",
        missing.len(),
        missing.first().map(|id| id.as_str()).unwrap_or_default()
    );
    Ok(())
}

/// The questions' vectors, and the median milliseconds for one.
fn embed(retriever: &Retriever, questions: &[Question]) -> anyhow::Result<(Vec<rag::Question>, f64)> {
    let mut times = Vec::new();
    let mut embedded = Vec::new();
    for question in questions {
        let start = Instant::now();
        embedded.push(retriever.embed(&question.text)?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((embedded, median(times)))
}

fn measure(
    retriever: &Retriever,
    questions: &[Question],
    (asked, embed_ms): &(Vec<rag::Question>, f64),
    ranking: String,
    selection: Selection,
) -> anyhow::Result<Row> {
    let mut qualities = Vec::new();
    let mut times = Vec::new();
    for (question, asked) in questions.iter().zip(asked) {
        let start = Instant::now();
        let hits = retriever.search_with(asked, JUDGED, &selection)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let mut seen = HashSet::new();
        let documents = hits.iter().map(|hit| hit.document.as_str());
        let documents: Vec<&str> = documents.filter(|document| seen.insert(*document)).collect();
        qualities.extend(Quality::of(&documents, &question.gains));
    }
    let measured = |(name, measure): &Measure| {
        let values: Vec<f64> = qualities.iter().map(measure).collect();
        let Interval { mean, low, high } = interval(&values);
        Measured { name, mean, low, high }
    };
    let measures = MEASURES.iter().map(measured).collect();
    let questions = qualities.len();
    Ok(Row { ranking, questions, measures, embed_ms: *embed_ms, search_ms: median(times) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.ranking.chars().count()).max().unwrap_or_default();
    if let Some(first) = rows.first() {
        println!(
            "{} questions; the range holds 95 % of bootstrap means; embedding a question takes {:.1} ms",
            first.questions, first.embed_ms
        );
    }
    let names = MEASURES.iter().map(|(name, _)| format!("{name:>9}")).collect::<String>();
    println!("{:width$}{names}  {:15} search ms", "ranking", "range of ndcg");
    for row in rows {
        let means: String = row.measures.iter().map(|measured| format!("{:9.4}", measured.mean)).collect();
        let range = row.measures.last().map(|ndcg| format!("{:.4}–{:.4}", ndcg.low, ndcg.high));
        println!("{:width$}{means}  {:15} {:9.2}", row.ranking, range.unwrap_or_default(), row.search_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_rank_is_valid_and_has_its_own_name() {
        let ways = selections(true);
        let names: HashSet<&String> = ways.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ways.len());
        for (name, selection) in &ways {
            assert!(selection.validate().is_ok(), "{name}");
        }
        assert_eq!(selections(false).len(), 1);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
