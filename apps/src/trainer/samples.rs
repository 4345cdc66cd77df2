//! A few questions of the rows held back, answered before and after training.

use anyhow::{Context, Result};
use engine::Llama;
use llama::Tokenizer;
use llama::dataset::{Prompts, Row};
use serde::Serialize;

use crate::eval;

/// Questions that are shown.
const QUESTIONS: usize = 3;
/// Most tokens of an answer.
const MAX_TOKENS: usize = 96;

/// A question and three answers.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// The last one of the user, where there were several.
    question: String,
    context: Option<String>,
    wanted: String,
    base: String,
    tuned: String,
}

/// Answers the first different questions among `rows`, with the model alone and with what it learned.
pub fn answer(
    base: Llama,
    tuned: Llama,
    tokenizer: &Tokenizer,
    prompts: &Prompts,
    rows: &[Row],
) -> Result<Vec<Sample>> {
    let mut chosen: Vec<Row> = Vec::new();
    for row in rows {
        if chosen.len() < QUESTIONS && chosen.iter().all(|other| other.instruction() != row.instruction()) {
            chosen.push(row.clone());
        }
    }
    let eos = *tokenizer.eos().first().context("the model's tokenizer has no end-of-sequence token")?;
    let longest = base.config().max_position_embeddings;
    let (questions, _) = eval::questions(&chosen, tokenizer, prompts, eos, longest)?;
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let stop = eval::stop_strings(prompts);
    let answers = |llama| eval::answers(llama, tokenizer, &questions, &stop, MAX_TOKENS);
    let samples = questions.iter().zip(answers(base)?).zip(answers(tuned)?);
    Ok(samples
        .map(|((question, base), tuned)| Sample {
            question: question.row.question().into(),
            context: question.row.context().map(str::to_owned),
            wanted: question.row.response().into(),
            base,
            tuned,
        })
        .collect())
}
