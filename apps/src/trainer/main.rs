//! `trainer`: fine-tunes a model on a company's own answers, measures what came of it, and writes models
//! for other programs.

mod bench;
mod cli;
mod data;
mod data_summary;
mod encoder;
mod eval;
mod export;
mod interrupt;
#[path = "../peak_memory.rs"]
mod peak_memory;
mod perplexity;
mod progress;
mod record;
mod schedule;
mod train;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Perplexity(args) => perplexity::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Merge(args) => export::merge(&args),
        Command::Export(args) => export::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
