//! `trainer`: fine-tunes a model on a company's own answers, and measures what came of it.

mod cli;
mod data;
mod encoder;
mod eval;
mod interrupt;
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
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
