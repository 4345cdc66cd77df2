//! The figures side by side: as a table, as JSON, and as a web page.

use std::path::Path;

use anyhow::{Context, Result};
use engine::Nll;
use llama::dataset::Row;
use llama::metrics::{Comparison, Evaluation, Rouge, Scores};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::cli::EvalArgs;

/// The whole report; serialized, it is the JSON.
#[derive(Debug, Serialize)]
pub struct EvalReport<'a> {
    model: &'a str,
    adapter: Option<&'a Path>,
    data: &'a Path,
    max_tokens: usize,
    rows: EvalRowCounts,
    /// How the figures were computed, in the metrics' own notation.
    signatures: Signatures,
    scores: SideBySide<Evaluation>,
    answers: Vec<AnsweredLine<'a>>,
}

/// Numbers of rows by their use.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EvalRowCounts {
    pub scored: usize,
    /// Left out: no instruction or no response.
    pub blank: usize,
    /// Perplexity sees the start of their answers only.
    pub truncated: usize,
    /// Left out: the prompt alone fills the model's context.
    pub dropped: usize,
}

/// A value of the model alone and, if there is an adapter, one with it.
#[derive(Debug, Clone, Serialize)]
pub struct SideBySide<T> {
    pub base: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<T>,
}

/// A model's output for one row.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// Its own answer.
    pub text: String,
    /// Negative log-likelihood of the answer that was wanted, in nats, over `tokens` tokens.
    nll: f64,
    tokens: usize,
    #[serde(rename = "rougeL")]
    rouge_l: f64,
}

/// One row with the models' outputs.
#[derive(Debug, Serialize)]
struct AnsweredLine<'a> {
    instruction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    reference: &'a str,
    #[serde(flatten)]
    outputs: SideBySide<Output>,
}

#[derive(Debug, Serialize)]
struct Signatures {
    bleu: &'static str,
    chrf: &'static str,
    rouge: &'static str,
    exact_match: &'static str,
    generation: &'static str,
}

const SIGNATURES: Signatures = Signatures {
    bleu: "sacrebleu 2.6: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp",
    chrf: "sacrebleu 2.6: nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no",
    rouge: "rouge-score 0.1.2: use_stemmer=False, mean F-measure",
    exact_match: "but for white space around the answer",
    generation: "greedy, until the end token, \"\\n### \" or max_tokens",
};

/// A heading and how the figure under it is written.
type Column = (&'static str, fn(&Scores) -> String);

const COLUMNS: [Column; 8] = [
    ("rows", |scores| scores.rows.to_string()),
    ("perplexity", |scores| format!("{:.3}", scores.perplexity)),
    ("exact match", |scores| format!("{:.3}", scores.exact_match)),
    ("BLEU", |scores| format!("{:.2}", scores.bleu)),
    ("chrF", |scores| format!("{:.2}", scores.chrf)),
    ("ROUGE-1", |scores| format!("{:.3}", scores.rouge1)),
    ("ROUGE-2", |scores| format!("{:.3}", scores.rouge2)),
    ("ROUGE-L", |scores| format!("{:.3}", scores.rouge_l)),
];

impl<T> SideBySide<T> {
    fn each(&self) -> impl Iterator<Item = (&'static str, &T)> {
        [("base", Some(&self.base)), ("adapter", self.adapter.as_ref())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Output {
    /// A model's answer where `reference` was wanted, which it found as likely as `nll` says.
    pub fn new(text: String, reference: &str, nll: Nll) -> Self {
        let rouge_l = Rouge::default().score(Comparison { prediction: &text, reference }).rouge_l.fmeasure;
        Self { text, nll: nll.sum, tokens: nll.tokens, rouge_l }
    }

    pub fn nll(&self) -> Nll {
        Nll { sum: self.nll, tokens: self.tokens }
    }
}

impl<'a> EvalReport<'a> {
    /// Puts together the figures and, row by row, the models' outputs.
    pub fn new(
        args: &'a EvalArgs,
        rows: EvalRowCounts,
        scores: SideBySide<Evaluation>,
        questions: &[&'a Row],
        outputs: SideBySide<Vec<Output>>,
    ) -> Self {
        let mut adapter = outputs.adapter.map(Vec::into_iter);
        let lines = questions.iter().zip(outputs.base).map(|(row, base)| AnsweredLine {
            instruction: row.question(),
            context: row.context(),
            category: row.category.as_deref(),
            reference: row.response(),
            outputs: SideBySide { base, adapter: adapter.as_mut().and_then(Iterator::next) },
        });
        Self {
            model: &args.model,
            adapter: args.adapter.as_deref(),
            data: &args.data,
            max_tokens: args.max_tokens,
            rows,
            signatures: SIGNATURES,
            scores,
            answers: lines.collect(),
        }
    }

    /// The table for a terminal: the first two columns to the left, figures to the right.
    pub fn text(&self) -> String {
        let mut lines = vec![head()];
        lines.extend(self.table());
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head().len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 | 1 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        let EvalRowCounts { blank, truncated, dropped, .. } = self.rows;
        for (count, what) in [
            (blank, "blank rows left out"),
            (dropped, "rows left out whose prompts alone fill the model's context"),
            (truncated, "rows longer than the model's context, of which perplexity sees the start"),
        ] {
            if count > 0 {
                text += &format!("{what}: {count}\n");
            }
        }
        text
    }

    /// A web page that refers to no other file.
    pub fn html(&self) -> Result<String> {
        let mut environment = Environment::new();
        // The name's ending turns escaping on.
        environment.add_template("report.html", include_str!("report.html.jinja"))?;
        let page = environment.get_template("report.html").and_then(|template| {
            let table: Vec<Vec<String>> = self.table().collect();
            template.render(minijinja::context! { report => Serde(self), head => head(), table })
        });
        page.context("the report's page")
    }

    /// The rows of the table: category, model and the figures of each column.
    fn table(&self) -> impl Iterator<Item = Vec<String>> {
        let overall = self.scores.each().map(|(name, evaluation)| line("all", name, &evaluation.overall));
        let categories = self.scores.base.categories.keys().flat_map(move |category| {
            let label = if category.is_empty() { "(none)" } else { category };
            self.scores.each().filter_map(move |(name, evaluation)| {
                Some(line(label, name, evaluation.categories.get(category)?))
            })
        });
        overall.chain(categories)
    }
}

fn head() -> Vec<String> {
    ["category", "model"].into_iter().chain(COLUMNS.map(|(heading, _)| heading)).map(Into::into).collect()
}

fn line(category: &str, model: &str, scores: &Scores) -> Vec<String> {
    let figures = COLUMNS.map(|(_, figure)| figure(scores));
    [category.to_owned(), model.to_owned()].into_iter().chain(figures).collect()
}
