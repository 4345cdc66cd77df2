//! `trainer`: fine-tunes a model on a company's own answers, measures what came of it, and writes models
//! for other programs.

mod articles;
mod base;
mod bench;
mod checkpoints;
mod cli;
mod curve;
mod data;
mod data_summary;
#[path = "../devices.rs"]
mod devices;
mod dry_run;
mod encoder;
mod eval;
mod export;
mod interrupt;
mod lr_schedule;
mod metrics;
mod model_card;
#[path = "../peak_memory.rs"]
mod peak_memory;
mod perplexity;
mod plan;
#[cfg(feature = "profile")]
#[path = "../profile.rs"]
mod profile;
mod progress;
mod record;
mod run_config;
mod run_log;
mod run_report;
mod samples;
mod schedule;
mod tensorboard;
mod train;
mod trainer_state;
mod training_loop;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    engine::keep_freed_memory();
    match run(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "profile")]
    let _flush = profile::begin()?;
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Data(args) => articles::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args).map(done),
        Command::Perplexity(args) => perplexity::run(&args).map(done),
        Command::Bench(args) => bench::run(&args).map(done),
        Command::Merge(args) => export::merge(&args).map(done),
        Command::Export(args) => export::run(&args).map(done),
    }
}
