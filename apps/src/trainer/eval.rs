//! A model's answers to questions, alone and with an adapter, against the answers that were wanted.

mod report;

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::{CacheType, Example, Llama, Nll};
use indicatif::ProgressBar;
use llama::dataset::{Learn, PairTemplate, PromptFormat, Prompts, ReadOptions, Row, encode};
use llama::metrics::{AnsweredRow, Comparison, Evaluation};
use llama::{Adapter, CachedLlama, Dataset, GROUNDED_STOP, Limits, Model, Request, Scheduler, Tokenizer};

use crate::base::warn_of_other_base;
use crate::cli::EvalArgs;
use report::{EvalReport, EvalRowCounts, Output, SideBySide};

/// Most positions of the key/value cache, unless one answer needs more: as many as the server takes.
const MAX_POSITIONS: usize = 8192;

/// `trainer eval`.
pub fn run(args: &EvalArgs) -> Result<()> {
    let dataset = Dataset::open(&args.data, &ReadOptions::default())?;
    let device = engine::device::parse(&args.device)?;
    if let Some(path) = &args.html {
        check_writable(path)?;
    }
    let Model { mut llama, tokenizer, chat_template, path, .. } = Model::open(&args.model, &device)?;
    let base = llama.clone();
    let adapter =
        args.adapter.as_deref().map(|dir| Adapter::load_onto(dir, &mut llama, &path)).transpose()?;
    if let Some(dir) = &args.adapter {
        warn_of_other_base(dir, &path);
    }
    // Prompts are written as the adapter was trained on them, else as training would write them by default.
    let format = match adapter.and_then(|adapter| adapter.chat_template) {
        Some(source) => PromptFormat::of_chat_template(&source),
        None if dataset.conversations && chat_template.is_some() => PromptFormat::Chat,
        None => PromptFormat::Pair(PairTemplate::grounded()),
    };
    let prompts = format.prompts(&tokenizer, chat_template.as_ref(), None)?;
    let eos = *tokenizer.eos().first().context("the model's tokenizer has no end-of-sequence token")?;
    let rows = &dataset.rows[..args.limit.unwrap_or(usize::MAX).min(dataset.rows.len())];
    let (questions, counts) =
        questions(rows, &tokenizer, &prompts, eos, llama.config().max_position_embeddings)?;
    ensure!(
        !questions.is_empty(),
        "--data {}: no question fits into the model's context",
        args.data.display()
    );

    let examine = |name: &str, llama: Llama| -> Result<Vec<Output>> {
        eprintln!("{name}: measuring the perplexity of {} answers", questions.len());
        let nlls = nlls(&llama, &questions)?;
        eprintln!("{name}: answering {} questions", questions.len());
        let texts = answers(llama, &tokenizer, &questions, &stop_strings(&prompts), args.max_tokens)?;
        let outputs = questions.iter().zip(texts).zip(nlls);
        Ok(outputs.map(|((question, text), nll)| Output::new(text, question.row.response(), nll)).collect())
    };
    let base = examine("base", base)?;
    let adapter = args.adapter.is_some().then(|| examine("adapter", llama)).transpose()?;

    let rows: Vec<&Row> = questions.iter().map(|question| question.row).collect();
    let evaluation = SideBySide {
        base: evaluate(&rows, &base),
        adapter: adapter.as_ref().map(|outputs| evaluate(&rows, outputs)),
    };
    let counts = EvalRowCounts { blank: dataset.blank.count, ..counts };
    let report = EvalReport::new(args, counts, evaluation, &rows, SideBySide { base, adapter });
    if let Some(path) = &args.html {
        fs::write(path, report.html()?).with_context(|| format!("--html {}", path.display()))?;
        eprintln!("report written to {}", path.display());
    }
    match args.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report.text()),
    }
    Ok(())
}

/// Stop strings beside the end token. A model that goes on begins the next section of the grounded form; conversations
/// need none.
pub fn stop_strings(prompts: &Prompts) -> Vec<String> {
    match prompts {
        Prompts::Pair(_) => vec![GROUNDED_STOP.to_owned()],
        Prompts::Chat(_) => Vec::new(),
    }
}

/// A row with its tokens.
pub struct Question<'a> {
    pub row: &'a Row,
    example: Example,
}

impl Question<'_> {
    /// The tokens before the last answer.
    fn prompt(&self) -> &[u32] {
        let Example { tokens, learned } = &self.example;
        let answer = learned.windows(2).rposition(|pair| matches!(pair, [false, true]));
        &tokens[..answer.map_or(0, |before| before + 1)]
    }
}

/// Encodes the rows as training does. One whose prompt leaves no room for an answer is left out; of one
/// that is too long, perplexity sees the start of the answer.
pub fn questions<'a>(
    rows: &'a [Row],
    tokenizer: &Tokenizer,
    prompts: &Prompts,
    eos: u32,
    max_length: usize,
) -> Result<(Vec<Question<'a>>, EvalRowCounts)> {
    let all: Vec<&Row> = rows.iter().collect();
    let encoded = encode(&all, tokenizer, prompts, eos, Learn::Response, max_length)?;
    if let [refused, ..] = encoded.refused.as_slice() {
        eprintln!("{} rows cannot be put to the model: {}", encoded.refused.len(), refused.reason);
    }
    let refused = encoded.refused.iter().map(|refused| refused.row);
    let left_out: HashSet<usize> = encoded.dropped.iter().copied().chain(refused).collect();
    let kept = rows.iter().enumerate().filter(|(number, _)| !left_out.contains(number));
    let questions: Vec<Question<'_>> =
        kept.zip(encoded.examples).map(|((_, row), example)| Question { row, example }).collect();
    let counts = EvalRowCounts {
        scored: questions.len(),
        truncated: encoded.truncated.len(),
        dropped: left_out.len(),
        ..EvalRowCounts::default()
    };
    Ok((questions, counts))
}

/// How likely the model finds each answer that was wanted.
fn nlls(llama: &Llama, questions: &[Question<'_>]) -> Result<Vec<Nll>> {
    let bar = ProgressBar::new(questions.len() as u64);
    let nlls = questions.iter().map(|question| {
        bar.inc(1);
        Ok(llama.nll(std::slice::from_ref(&question.example))?)
    });
    let nlls = nlls.collect();
    bar.finish_and_clear();
    nlls
}

/// The model's own answers: the likeliest token each time, many answers side by side.
pub fn answers(
    llama: Llama,
    tokenizer: &Tokenizer,
    questions: &[Question<'_>],
    stop: &[String],
    max_tokens: usize,
) -> Result<Vec<String>> {
    let longest = questions.iter().map(|question| question.prompt().len()).max().unwrap_or(0);
    let longest = longest.saturating_add(max_tokens).min(llama.config().max_position_embeddings);
    let limits = Limits { queue: questions.len(), ..Limits::default() };
    let positions = (longest * limits.running.min(questions.len())).min(MAX_POSITIONS).max(longest);
    let model = CachedLlama::new(llama, positions, CacheType::F32); // so that the cache's rounding does not count
    let scheduler = Scheduler::start(model, tokenizer.clone(), limits)?;
    let streams = questions.iter().map(|question| {
        scheduler
            .stream(Request { stop: stop.to_vec(), ..Request::new(question.prompt().to_vec(), max_tokens) })
    });
    let streams: Vec<_> = streams.collect::<Result<_, _>>()?;

    let bar = ProgressBar::new(questions.len() as u64);
    let texts = streams.into_iter().map(|stream| {
        let text = stream.map(|token| Ok(token?.text)).collect();
        bar.inc(1);
        text
    });
    let texts = texts.collect();
    bar.finish_and_clear();
    texts
}

fn evaluate(rows: &[&Row], outputs: &[Output]) -> Evaluation {
    let answers = rows.iter().zip(outputs).map(|(row, output)| AnsweredRow {
        pair: Comparison { prediction: &output.text, reference: row.response() },
        nll: output.nll(),
        category: row.category.as_deref(),
    });
    Evaluation::of(&answers.collect::<Vec<_>>())
}

/// Checks before any work that the report can be written; an earlier report is left as it is.
fn check_writable(path: &Path) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map(drop).with_context(|| format!("--html {}", path.display()))
}

#[cfg(test)]
mod tests {
    use llama::Message;
    use llama::dataset::RowOrigin;

    use super::*;

    #[test]
    fn the_prompt_ends_where_the_last_answer_starts() {
        let row = Row {
            messages: vec![Message::new("user", "Hi?"), Message::new("assistant", "Yes.")],
            category: None,
            origin: RowOrigin { file: 0, line: 2 },
        };
        let prompt = |learned: &[u8]| {
            let learned: Vec<bool> = learned.iter().map(|&learned| learned == 1).collect();
            let example = Example { tokens: (0..learned.len() as u32).collect(), learned };
            Question { row: &row, example }.prompt().len()
        };
        assert_eq!(prompt(&[0, 0, 0, 1, 1]), 3);
        assert_eq!(prompt(&[0, 1, 1, 0, 0, 1]), 5, "earlier turns belong to the prompt");
    }
}
