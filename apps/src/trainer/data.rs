//! The examples of a run.

use std::fmt::Write;

use anyhow::{Result, ensure};
use engine::{Example, LlamaConfig};
use llama::dataset::{Dataset, Encoded, Learn, Row, encode};

use crate::cli::TrainArgs;
use crate::encoder::Encoder;
use crate::record::Rows;

/// What is learned, and what is held back.
pub struct Data {
    pub train: Vec<Example>,
    pub validation: Vec<Example>,
    pub rows: Rows,
}

impl Data {
    /// Splits and encodes the rows, and says on stderr what became of them.
    pub fn prepare(
        dataset: &Dataset,
        encoder: &Encoder<'_>,
        eos: u32,
        model: &LlamaConfig,
        args: &TrainArgs,
    ) -> Result<Self> {
        let learn = if args.train_on_inputs { Learn::All } else { Learn::Response };
        let max_length = args.max_length.min(model.max_position_embeddings);
        let encode = |rows: &[&Row]| encode(rows, |text| encoder.tokens(text), eos, learn, max_length);
        let (train_rows, validation_rows) = dataset.split(args.validation_split, args.seed);
        let (train, validation) = (encode(&train_rows)?, encode(&validation_rows)?);

        let rows = Rows {
            train: train.examples.len(),
            validation: validation.examples.len(),
            blank: dataset.blank,
            truncated: train.truncated.len() + validation.truncated.len(),
            dropped: train.dropped.len() + validation.dropped.len(),
        };
        let mut message = format!("{} rows to train on, {} held back", rows.train, rows.validation);
        if rows.blank > 0 {
            write!(message, "; {} blank ones left out", rows.blank)?;
        }
        let places = |numbers: fn(&Encoded) -> &[usize]| {
            let train = numbers(&train).iter().filter_map(|&number| train_rows.get(number));
            let validation = numbers(&validation).iter().filter_map(|&number| validation_rows.get(number));
            places(dataset, train.chain(validation).copied())
        };
        if rows.truncated > 0 {
            let places = places(|encoded| &encoded.truncated);
            write!(message, "; {} cut to {max_length} tokens ({places})", rows.truncated)?;
        }
        if rows.dropped > 0 {
            let places = places(|encoded| &encoded.dropped);
            write!(
                message,
                "; {} left out, whose prompts alone fill {max_length} tokens ({places})",
                rows.dropped
            )?;
        }
        eprintln!("{message}");
        ensure!(!train.examples.is_empty(), "--data {}: no row is left to train on", args.data.display());
        Ok(Self { train: train.examples, validation: validation.examples, rows })
    }

    /// The training examples with these numbers.
    pub fn examples(&self, numbers: &[usize]) -> Vec<Example> {
        numbers.iter().filter_map(|&number| self.train.get(number)).cloned().collect()
    }
}

/// `a.csv line 3, a.csv line 9, …`: the first few places of some rows.
fn places<'a>(dataset: &Dataset, rows: impl Iterator<Item = &'a Row>) -> String {
    const SHOWN: usize = 3;
    let mut places: Vec<String> = Vec::new();
    for row in rows.take(SHOWN + 1) {
        let file = dataset.files.get(row.origin.file).and_then(|path| path.file_name()).unwrap_or_default();
        places.push(format!("{} line {}", file.display(), row.origin.line));
    }
    if places.len() > SHOWN {
        places.truncate(SHOWN);
        places.push("…".into());
    }
    places.join(", ")
}
