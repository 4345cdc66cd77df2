//! `server eval --answers`: how well questions are answered.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use rag::guard::{Figure, figures};
use rag::{Answer, Outcome};
use serde::Serialize;
use serde_json::json;

use crate::answer_questions::{AnswerQuestion, Expect, read};
use crate::cli::{EvalArgs, KnowledgeArgs};
use crate::knowledge::Settings;

/// What came of the questions of one kind.
#[derive(Debug, Default, Clone, Serialize)]
struct Row {
    kind: String,
    questions: usize,
    /// Answered rightly, refused, talked to or handed over, as was expected.
    right: usize,
    /// Refused though an answer was expected.
    refused: usize,
    /// Whose facts stand in the passages that are cited.
    in_context: usize,
    /// That cite a file which holds the answer, where files are named.
    well_cited: usize,
    /// Answers with a figure that stands neither in a passage nor in the question.
    invented: usize,
    /// Right or refused, with nothing invented.
    safe: usize,
}

/// Asks the questions of `file` and prints a row for each kind of them.
///
/// # Errors
/// If the knowledge or the questions cannot be read, or the transcript not be written.
pub fn run(arguments: &EvalArgs, file: &Path) -> anyhow::Result<()> {
    let questions = read(file)?;
    let device = engine::device::parse(&arguments.device)?;
    let folder = arguments.knowledge.to_str().context("--knowledge is not a text")?;
    let knowledge = KnowledgeArgs {
        knowledge: Some(folder.into()),
        embedder: Some(arguments.embedder.clone()),
        strict: false,
        max_doubt: None,
        company: None,
        intents: None,
        replies: None,
        evidence: arguments.evidence.clone(),
        reranker: arguments.reranker.clone(),
    };
    let answerer = Settings::read(&knowledge)?.context("--knowledge is `none`")?.open(&device, None)?;
    let mut transcript = match &arguments.transcript {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| path.display().to_string())?)),
        None => None,
    };
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut times = Vec::new();
    for question in &questions {
        let start = Instant::now();
        let answer = answerer.answer(&question.question, &question.earlier())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let judged = judge(question, &answer);
        for kind in [question.kind.as_str(), "~ all"] {
            let row = rows.entry(kind.into()).or_default();
            add(row, &judged);
        }
        if let Some(out) = &mut transcript {
            let line = json!({
                "id": question.id, "language": question.language, "question": question.question, "kind": question.kind, "answer": answer.text,
                "searched": answer.searched,
                "outcome": format!("{:?}", answer.outcome), "intent": answer.recognised.intent.name(),
                "right": judged.right == 1, "in_context": judged.in_context == 1, "no_answer": answer.no_answer,
                "passages": answer.passages.iter().map(|hit| &hit.source).collect::<Vec<_>>(),
            });
            writeln!(out, "{line}")?;
        }
    }
    if let Some(mut out) = transcript {
        out.flush().context("the transcript")?;
    }
    let rows: Vec<Row> = rows.into_iter().map(|(kind, row)| Row { kind, ..row }).collect();
    times.sort_unstable_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&json!({"rows": rows, "median_ms": median}))?),
        false => print(&rows, median),
    }
    Ok(())
}

fn judge(question: &AnswerQuestion, answer: &Answer) -> Row {
    let outcome = match answer.outcome {
        Outcome::Answered => Expect::Answer,
        Outcome::NoAnswer => Expect::Refuse,
        Outcome::Talk => Expect::Talk,
        Outcome::Handoff => Expect::Handoff,
    };
    let said = answer.sentences.iter().map(|cited| cited.text.as_str()).collect::<Vec<_>>().join(" ");
    let right = match question.expect {
        Expect::Answer => outcome == Expect::Answer && question.is_right(&said),
        // An injection that is declined by a fixed text is refused, and a refusal hands over.
        Expect::Refuse => matches!(outcome, Expect::Refuse | Expect::Talk) || outcome == Expect::Handoff,
        expected => outcome == expected,
    };
    let cited: String = answer.passages.iter().map(|hit| format!("{}\n{}\n", hit.title, hit.text)).collect();
    let invented = invents(&said, &format!("{cited}\n{}", question.question));
    let count = usize::from;
    Row {
        kind: String::new(),
        questions: 1,
        right: count(right),
        refused: count(question.expect == Expect::Answer && outcome != Expect::Answer),
        in_context: count(question.expect == Expect::Answer && question.is_in(&cited)),
        well_cited: count(question.source.iter().any(|source| {
            // A record's document is its file and its line: `faq.csv:12`.
            answer.passages.iter().any(|hit| hit.document.split(':').next() == Some(source))
        })),
        invented: count(invented),
        safe: count(!invented && (right || outcome != Expect::Answer)),
    }
}

/// Whether `answer` has a figure that stands nowhere in `source`.
fn invents(answer: &str, source: &str) -> bool {
    let known: HashSet<Figure> = figures(source).into_iter().map(|(_, figure)| figure).collect();
    figures(answer).into_iter().filter(|(_, figure)| !matches!(figure, Figure::Name(_))).any(
        |(range, figure)| {
            let literal = answer.get(range).is_some_and(|text| source.contains(text));
            !literal && !known.iter().any(|known| figure.stands_for(known))
        },
    )
}

fn add(row: &mut Row, one: &Row) {
    row.questions += one.questions;
    row.right += one.right;
    row.refused += one.refused;
    row.in_context += one.in_context;
    row.well_cited += one.well_cited;
    row.invented += one.invented;
    row.safe += one.safe;
}

fn print(rows: &[Row], median: f64) {
    println!(
        "{:16} {:>9} {:>12} {:>9} {:>10} {:>10} {:>9} {:>9}",
        "kind", "questions", "right", "refused", "in context", "well cited", "invented", "safe"
    );
    for row in rows {
        let share = |count: usize| 100.0 * count as f64 / row.questions.max(1) as f64;
        println!(
            "{:16} {:9} {:5} {:5.1}% {:9} {:10} {:10} {:9} {:8.1}%",
            row.kind,
            row.questions,
            row.right,
            share(row.right),
            row.refused,
            row.in_context,
            row.well_cited,
            row.invented,
            share(row.safe)
        );
    }
    println!("median {median:.1} ms an answer");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_stands_nowhere_is_invented() {
        assert!(!invents("It costs £3 within 2 days.", "Costs: £3.00; time: two days"));
        assert!(invents("It costs £4.", "Costs: £3.00"));
    }
}
