//! `trainer data`: makes training data of article templates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::compose::{Composer, Shares};
use super::draw::Draw;
use super::library::{Library, TALK};
use super::lint;
use super::row::Row;
use super::scene::Scene;
use crate::cli::DataArgs;

/// Makes the rows and writes them, or checks the templates. Nothing is written if a row is wrong.
///
/// # Errors
/// If a template or a row is wrong, or a file cannot be read or written.
pub fn run(args: &DataArgs) -> Result<ExitCode> {
    let shipped = shipped_articles()?;
    let paths = if args.articles.is_empty() { vec![shipped.clone()] } else { args.articles.clone() };
    let (library, errors) = Library::open(&paths, &shipped.join(TALK))?;
    for error in &errors {
        eprintln!("error: {error}");
    }
    if args.check {
        return Ok(check(&library, errors.len()));
    }
    ensure!(errors.is_empty(), "{} errors in the templates", errors.len());
    let is_held_out = args.held_out_output.is_some() || args.held_out_evidence.is_some();
    if is_held_out != (args.held_out_articles > 0.0) {
        bail!("--held-out-articles wants --held-out-output or --held-out-evidence, and they want it");
    }

    let (learned, held_out) = library.split(args.held_out_articles, args.seed);
    let set_aside = (args.rows as f64 * args.held_out_articles).round() as usize;
    let shares = Shares { refusals: args.refusals, languages: args.language_share, ..Shares::default() };
    let mut composer = Composer::new(&library, learned.clone(), &learned, shares.clone(), args.seed);
    let rows = (set_aside..args.rows).map(|_| composer.next_row()).collect::<Result<Vec<_>, _>>()?;
    write(args.output.as_deref(), &rows, Row::to_conversation)?;
    write(args.evidence.as_deref(), &rows, Row::to_evidence)?;
    report("learned", learned.len(), &rows);

    if is_held_out {
        let others: Vec<usize> = (0..library.templates.len()).collect();
        let seed = args.seed.wrapping_add(1);
        let mut composer = Composer::new(&library, held_out.clone(), &others, shares, seed);
        let rows = (0..set_aside).map(|_| composer.next_row()).collect::<Result<Vec<_>, _>>()?;
        write(args.held_out_output.as_deref(), &rows, Row::to_conversation)?;
        write(args.held_out_evidence.as_deref(), &rows, Row::to_evidence)?;
        report("held out", held_out.len(), &rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// The shipped templates: in the source tree, or in `assets` beside the executable.
fn shipped_articles() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/articles");
    let executable = std::env::current_exe().ok();
    let installed = executable.as_deref().and_then(Path::parent).map(|folder| folder.join("assets/articles"));
    let folders = std::iter::once(source).chain(installed);
    let found = folders.into_iter().find(|folder| folder.is_dir());
    found.context("the shipped articles are not there: assets/articles beside the executable")
}

fn write(path: Option<&Path>, rows: &[Row], line: fn(&Row) -> String) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let lines: Vec<String> = rows.iter().map(line).collect();
    fs::write(path, lines.join("\n") + "\n").with_context(|| path.display().to_string())
}

/// Prints how many rows there are of each kind.
fn report(what: &str, articles: usize, rows: &[Row]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.kind.to_string()).or_default() += 1;
    }
    let refused = rows.iter().filter(|row| row.kind.is_refusal()).count();
    let share = 100.0 * refused as f64 / rows.len().max(1) as f64;
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    eprintln!("{what}: {} rows from {articles} articles, {share:.1} % refusals", rows.len());
    eprintln!("  {}", counts.join(", "));
}

/// Prints what is wrong and what is doubtful.
fn check(library: &Library, errors: usize) -> ExitCode {
    let scene = Scene { talk: &library.talk, others: library.templates.iter().collect() };
    let (mut errors, mut warnings, mut draw) = (errors, 0, Draw::new(1));
    let (mut facts, mut wordings) = (0, 0);
    let mut names = BTreeMap::new();
    for template in &library.templates {
        if let Some(line) = names.insert(template.id(), template.line) {
            let same = format!("the topic `{}` is that of the article on line {line}, too", template.topic);
            println!("warning: {}", template.error(template.line, same));
            warnings += 1;
        }
        let wrong = lint::trial(template, &scene, &mut draw);
        let doubtful = lint::warnings(template);
        for error in &wrong {
            println!("error: {error}");
        }
        for warning in doubtful.iter().filter(|warning| !wrong.iter().any(|error| error.line == warning.line))
        {
            println!("warning: {warning}");
        }
        errors += wrong.len();
        warnings += doubtful.len();
        facts += template.askable().len();
        wordings += template.questions.iter().map(|question| question.asked.wordings.len()).sum::<usize>();
    }
    println!(
        "{} articles, {facts} facts asked alone, {wordings} wordings; {errors} errors, {warnings} warnings",
        library.templates.len()
    );
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
