//! The examples of a run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use engine::{Example, LlamaConfig};
use llama::dataset::{
    Columns, Dataset, Encoded, Learn, Listed, PairTemplate, PromptFormat, Prompts, ReadOptions, Row,
    RowOrigin, SplitBy, SplitOptions, encode,
};
use llama::{ChatTemplate, Tokenizer};

use crate::cli::{SplitUnit, TrainArgs};
use crate::data_summary::DataSummary;
use crate::record::RowCounts;

/// Examples to learn from, and those held back.
pub struct Data {
    pub train: Vec<Example>,
    pub validation: Vec<Example>,
    /// The rows of `validation`, as they were written.
    pub held_back: Vec<Row>,
    /// Rows set aside.
    pub test: Vec<Row>,
    pub rows: RowCounts,
    /// How prompts are written.
    pub prompts: Prompts,
}

/// Reads the rows.
pub fn open(args: &TrainArgs) -> Result<Dataset> {
    let columns = Columns { named: args.columns.clone() };
    let options = ReadOptions { columns, skip_bad_rows: args.skip_bad_rows };
    let mut dataset = Dataset::open(&args.data, &options)?;
    if let Some(path) = &args.validation_data {
        dataset.read_validation(path, &options)?;
    }
    Ok(dataset)
}

impl Data {
    /// Splits and encodes the rows, and prints on stderr how many were left out or cut. Templates that write the date use
    /// `moment`, in seconds since 1970.
    pub fn prepare(
        dataset: &Dataset,
        tokenizer: &Tokenizer,
        chat_template: Option<&ChatTemplate>,
        model: &LlamaConfig,
        moment: u64,
        args: &TrainArgs,
    ) -> Result<Self> {
        let eos = *tokenizer.eos().first().context("the model's tokenizer has no end-of-sequence token")?;
        let learn = if args.train_on_inputs { Learn::All } else { Learn::Response };
        let max_length = args.max_length.min(model.max_position_embeddings);
        let chats = dataset.conversations && chat_template.is_some();
        let format = args.prompt_format.clone().unwrap_or(match chats {
            true => PromptFormat::Chat,
            false => PromptFormat::Pair(PairTemplate::grounded()),
        });
        let prompts = format.prompts(tokenizer, chat_template, Some(moment)).context("--prompt-format")?;
        let split = dataset.split(&SplitOptions {
            validation: args.validation_split,
            test: args.test_split,
            by: match args.split {
                SplitUnit::Question => SplitBy::Question,
                SplitUnit::Random => SplitBy::Random,
            },
            seed: args.seed,
        });
        let encode = |rows: &[&Row]| encode(rows, tokenizer, &prompts, eos, learn, max_length);
        let (train, validation) = (encode(&split.train)?, encode(&split.validation)?);

        let mut listed = Lists { skipped: dataset.skipped.clone(), ..Lists::default() };
        listed.add(&split.train, &train);
        listed.add(&split.validation, &validation);
        if let Some(refused) = listed.refused.first.first().filter(|_| !args.skip_bad_rows) {
            let file = dataset.files.get(refused.file).map(|path| path.display().to_string());
            bail!("{}:{}: {}", file.unwrap_or_default(), refused.line, refused.reason);
        }
        let distinct = dataset.distinct();
        let rows = RowCounts {
            train: train.examples.len(),
            validation: validation.examples.len(),
            test: split.test.len(),
            blank: dataset.blank.count,
            skipped: listed.skipped.count + listed.refused.count,
            truncated: listed.truncated.count,
            dropped: listed.dropped.count,
            distinct_questions: distinct.questions,
            distinct_pairs: distinct.pairs,
            leaked: split.leaked,
        };
        let lengths = train.lengths.clone().and(&validation.lengths);
        eprint!("{}", DataSummary { dataset, rows: &rows, listed: &listed, lengths: &lengths, max_length });
        ensure!(!train.examples.is_empty(), "--data {}: no row is left to train on", args.data.display());
        Ok(Self {
            train: train.examples,
            validation: validation.examples,
            held_back: split.validation.into_iter().cloned().collect(),
            test: split.test.into_iter().cloned().collect(),
            rows,
            prompts,
        })
    }

    /// The training examples with these numbers.
    pub fn examples(&self, numbers: &[usize]) -> Vec<Example> {
        numbers.iter().filter_map(|&number| self.train.get(number)).cloned().collect()
    }

    /// Writes the rows set aside, if there are any, to `test.jsonl` in the folder.
    pub fn save_test(&self, folder: &Path) -> Result<()> {
        if self.test.is_empty() {
            return Ok(());
        }
        let path = folder.join("test.jsonl");
        let lines: String = self.test.iter().map(|row| row.to_json() + "\n").collect();
        fs::write(&path, lines).with_context(|| path.display().to_string())
    }
}

/// Rows that were left out or cut, by cause.
#[derive(Debug, Default)]
pub struct Lists {
    /// Could not be read.
    pub skipped: Listed,
    /// Could not be written as prompt and answer.
    pub refused: Listed,
    /// Their end was cut off.
    pub truncated: Listed,
    /// The prompt alone fills the length.
    pub dropped: Listed,
}

impl Lists {
    fn add(&mut self, rows: &[&Row], encoded: &Encoded) {
        let origin =
            |number: usize| rows.get(number).map_or(RowOrigin { file: 0, line: 0 }, |row| row.origin);
        for refused in &encoded.refused {
            self.refused.add(origin(refused.row), refused.reason.as_str());
        }
        for &number in &encoded.truncated {
            self.truncated.add(origin(number), "");
        }
        for &number in &encoded.dropped {
            self.dropped.add(origin(number), "");
        }
    }
}
