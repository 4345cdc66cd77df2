//! The server: grounded answers over HTTP, and generation and measurements from the command line.

mod answer_questions;
mod asking;
mod assets;
mod bench;
mod calibrate;
mod cli;
#[path = "../devices.rs"]
mod devices;
mod embeddings;
mod error;
mod eval;
mod eval_answers;
mod generate;
mod http;
mod id;
mod key_ring;
mod keys;
mod knowledge;
mod load;
mod markdown;
mod models;
mod notices;
mod openai;
mod page;
#[path = "../peak_memory.rs"]
mod peak_memory;
#[cfg(feature = "profile")]
#[path = "../profile.rs"]
mod profile;
mod prompt;
mod questions;
mod routes;
mod running;
mod serve;
mod state;
mod store;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    #[cfg(any(feature = "pdf", feature = "xlsx"))]
    rag::serve_reader(); // where this process was started to read a PDF or a workbook, it does so and ends
    engine::keep_freed_memory();
    let cli = Cli::parse();
    match run(cli.command.unwrap_or(Command::Serve(cli.serve))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    #[cfg(feature = "profile")]
    let _flush = match command {
        Command::Serve(_) => None, // which has a log beside
        _ => profile::begin()?,
    };
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Eval(arguments) => match &arguments.answers {
            Some(file) => eval_answers::run(&arguments, file),
            None => eval::run(&arguments),
        },
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
    }
}

/// The error and its causes, without those whose words it has already.
fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        line if line.contains(&cause) => line.to_string(),
        line => format!("{line}: {cause}"),
    })
}
