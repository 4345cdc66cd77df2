//! How training data is made.

use std::path::PathBuf;

use clap::Args;

use super::{at_least, share};

/// `trainer data`.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Files of article templates (.txt), or folders of them: one file for each kind of business, and
    /// perhaps _talk.txt for small talk and refusals [default: the shipped ones]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub articles: Vec<PathBuf>,
    /// Rows to make, those from held-out articles included.
    #[arg(long, value_name = "N", default_value = "5000", value_parser = at_least::<usize>(1))]
    pub rows: usize,
    /// Decides every draw; the same seed and templates give the same rows.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Write conversations that `trainer train` reads.
    #[arg(long, value_name = "FILE.jsonl", required_unless_present_any = ["evidence", "check"])]
    pub output: Option<PathBuf>,
    /// Write the same rows for a selector of sentences: the passages' sentences, and which of them hold
    /// what is asked.
    #[arg(long, value_name = "FILE.jsonl")]
    pub evidence: Option<PathBuf>,
    /// Share of the rows that the passages do not answer.
    #[arg(long, value_name = "SHARE", default_value = "0.13", value_parser = share)]
    pub refusals: f64,
    /// Share of the rows whose question is not in English.
    #[arg(long, value_name = "SHARE", default_value = "0.06", value_parser = share)]
    pub language_share: f64,
    /// Share of the articles, and of the rows, that is set aside for measuring.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub held_out_articles: f64,
    /// Write the conversations about held-out articles here.
    #[arg(long, value_name = "FILE.jsonl", requires = "held_out_articles")]
    pub held_out_output: Option<PathBuf>,
    /// Write the sentences of the rows about held-out articles here.
    #[arg(long, value_name = "FILE.jsonl", requires = "held_out_articles")]
    pub held_out_evidence: Option<PathBuf>,
    /// Only check the templates: list errors, and what is missing or doubtful.
    #[arg(long)]
    pub check: bool,
}
