//! The server: grounded answers over HTTP, and generation and measurements from the command line.

mod assets;
mod bench;
mod cli;
#[path = "../devices.rs"]
mod devices;
mod error;
mod eval;
mod generate;
mod load;
#[path = "../peak_memory.rs"]
mod peak_memory;
#[cfg(feature = "profile")]
#[path = "../profile.rs"]
mod profile;
mod prompt;
mod questions;
mod routes;
mod serve;
mod state;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
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
        Command::Eval(arguments) => eval::run(&arguments),
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
