//! Rows to tokens.

use engine::Example;

use super::Row;
use crate::prompt::grounded_prompt;

/// Which tokens the loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Learn {
    /// The response and the end-of-sequence token after it.
    #[default]
    Response,
    /// The prompt too.
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
}

/// Encodes each row as the prompt ([`grounded_prompt`]), its response and `eos`, cut to `max_length`
/// tokens from the right.
///
/// `tokens` encodes a text with the special tokens that the tokenizer puts before a text (BOS), and
/// without any after it. Prompt and response are encoded as one text, as their words lie in it at
/// inference. The response starts where that encoding leaves the prompt's own: a token that joins
/// the end of the prompt with the start of the response is learned.
///
/// # Errors
/// What `tokens` gives.
pub fn encode<E>(
    rows: &[&Row],
    tokens: impl Fn(&str) -> Result<Vec<u32>, E>,
    eos: u32,
    learn: Learn,
    max_length: usize,
) -> Result<Encoded, E> {
    let mut encoded = Encoded::default();
    for (number, row) in rows.iter().enumerate() {
        let prompt = grounded_prompt(&row.instruction, row.context.as_deref());
        let mut ids = tokens(&format!("{prompt}{}", row.response))?;
        let response = match learn {
            Learn::All => 0,
            Learn::Response => common_prefix(&tokens(&prompt)?, &ids),
        };
        ids.push(eos);
        let cut = ids.len() > max_length;
        ids.truncate(max_length);
        let learned: Vec<bool> = (0..ids.len()).map(|position| position >= response).collect();
        if !learned.iter().skip(1).any(|&learned| learned) {
            encoded.dropped.push(number);
            continue;
        }
        if cut {
            encoded.truncated.push(number);
        }
        encoded.examples.push(Example { tokens: ids, learned });
    }
    Ok(encoded)
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::Origin;
    use super::*;

    const EOS: u32 = 0;

    /// One token for a byte, but one for `\n!` too, as a tokenizer may join across the boundary.
    fn bytes(text: &str) -> Result<Vec<u32>, Infallible> {
        let joined = text.replace("\n!", "\u{1}");
        Ok(joined.bytes().map(u32::from).collect())
    }

    fn row(response: &str, context: Option<&str>) -> Row {
        Row {
            instruction: "Hi?".into(),
            context: context.map(Into::into),
            response: response.into(),
            category: None,
            origin: Origin { file: 0, line: 2 },
        }
    }

    fn one(row: &Row, learn: Learn, max_length: usize) -> Encoded {
        encode(&[row], bytes, EOS, learn, max_length).unwrap()
    }

    /// The text of the learned tokens.
    fn learned(encoded: &Encoded) -> String {
        let Example { tokens, learned } = &encoded.examples[0];
        tokens
            .iter()
            .zip(learned)
            .filter(|(_, learned)| **learned)
            .map(|(&id, _)| char::from(id as u8))
            .collect()
    }

    #[test]
    fn the_response_and_its_end_are_learned() {
        let encoded = one(&row("Yes.", Some("Open.")), Learn::Response, 512);
        assert_eq!(learned(&encoded), "Yes.\0");
        let prompt = "### Instruction:\nHi?\n### Context:\nOpen.\n### Response:\n";
        assert_eq!(encoded.examples[0].tokens.len(), prompt.len() + "Yes.\0".len());
        assert!(encoded.truncated.is_empty() && encoded.dropped.is_empty());
    }

    #[test]
    fn all_is_everything() {
        let encoded = one(&row("Yes.", None), Learn::All, 512);
        assert_eq!(learned(&encoded), "### Instruction:\nHi?\n### Response:\nYes.\0");
    }

    #[test]
    fn a_token_across_the_boundary_is_learned() {
        assert_eq!(learned(&one(&row("!Yes", None), Learn::Response, 512)), "\u{1}Yes\0");
    }

    #[test]
    fn long_rows_are_cut_and_counted() {
        let row = row("Yes.", None);
        let prompt = grounded_prompt("Hi?", None).len();
        let cut = one(&row, Learn::Response, prompt + 2);
        assert_eq!(learned(&cut), "Ye", "the end is cut off, so no end of sequence is learned");
        assert_eq!((cut.truncated, cut.dropped), (vec![0], vec![]));

        let gone = one(&row, Learn::Response, prompt);
        assert!(gone.examples.is_empty());
        assert_eq!((gone.truncated, gone.dropped), (vec![], vec![0]));
        assert!(one(&row, Learn::Response, 0).examples.is_empty());
    }
}
