//! Encodes rows as tokens.

use engine::Example;
use rayon::prelude::*;

use super::{Lengths, Prompts, Row, mask};
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// Which tokens the loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Learn {
    /// What the assistant says, and the token after each of its turns that ends it.
    #[default]
    Response,
    /// The prompts too.
    All,
}

/// The examples of some rows, and what did not fit.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// One for each row that has something to learn, in the rows' order.
    pub examples: Vec<Example>,
    /// Numbers of the rows among them whose end was cut off.
    pub truncated: Vec<usize>,
    /// Numbers of the rows that were left out: cut to the length allowed, nothing to learn is left.
    pub dropped: Vec<usize>,
    /// Rows that were left out because they cannot be written in this format.
    pub refused: Vec<Refused>,
    /// How long the rows are before they are cut.
    pub lengths: Lengths,
}

/// A row that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The row's number.
    pub row: usize,
    /// Why it cannot be written.
    pub reason: String,
}

/// Encodes each row as `prompts` writes it, on all cores, ending with the token that ends an answer, and cuts it to
/// `max_length` tokens from the right.
///
/// Question and answer are encoded as one text, as their words lie in it at inference, after BOS where
/// the tokenizer puts it before a text, and `eos` after them. The answer starts where that encoding
/// leaves the prompt's own: a token that joins the end of the prompt with the start of the answer is
/// learned. Conversations end their turns as their template does.
///
/// # Errors
/// If the tokenizer cannot say how a text starts.
pub fn encode(
    rows: &[&Row],
    tokenizer: &Tokenizer,
    prompts: &Prompts,
    eos: u32,
    learn: Learn,
    max_length: usize,
) -> Result<Encoded, TokenizerError> {
    let bos = tokenizer.leading_bos()?;
    let mut encoded = Encoded::default();
    let mut lengths = Vec::with_capacity(rows.len());
    let cut: Vec<Result<(usize, Example), String>> = rows
        .par_iter()
        .map(|row| {
            let mut example = example(row, tokenizer, prompts, bos, eos)?;
            if learn == Learn::All {
                example.learned.fill(true);
            }
            let length = example.tokens.len();
            example.tokens.truncate(max_length);
            example.learned.truncate(max_length);
            Ok((length, example))
        })
        .collect();
    for (number, row) in cut.into_iter().enumerate() {
        let (length, example) = match row {
            Ok(row) => row,
            Err(reason) => {
                encoded.refused.push(Refused { row: number, reason });
                continue;
            }
        };
        lengths.push(length);
        if example.learned_tokens() == 0 {
            encoded.dropped.push(number);
            continue;
        }
        if length > max_length {
            encoded.truncated.push(number);
        }
        encoded.examples.push(example);
    }
    encoded.lengths = Lengths::new(lengths);
    Ok(encoded)
}

/// The whole row, with its answers learned.
fn example(
    row: &Row,
    tokenizer: &Tokenizer,
    prompts: &Prompts,
    bos: Option<u32>,
    eos: u32,
) -> Result<Example, String> {
    let reason = |error: TokenizerError| error.to_string();
    let template = match prompts {
        Prompts::Pair(template) => template,
        Prompts::Chat(transcriber) => {
            return mask::conversation(tokenizer, transcriber, &row.messages, eos).map_err(reason);
        }
    };
    let pair =
        row.pair().ok_or("it is a conversation of several turns, which only a chat template writes")?;
    let encoded = |answer: &str| template.encode(tokenizer, bos, &pair, answer);
    let mut tokens = encoded(pair.response).map_err(reason)?;
    let answer = common_prefix(&encoded("").map_err(reason)?, &tokens);
    tokens.push(eos);
    let learned = (0..tokens.len()).map(|position| position >= answer).collect();
    Ok(Example { tokens, learned })
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
