//! `README.md` of an adapter: a model card as the hub reads it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use llama::hub::catalog;
use minijinja::Environment;
use minijinja::value::Serde;

use crate::record::Summary;

/// Writes the card to the run's folder.
pub fn write(summary: &Summary<'_>, output: &Path) -> Result<()> {
    let path = output.join("README.md");
    fs::write(&path, render(summary, output)? + "\n").with_context(|| path.display().to_string())
}

fn render(summary: &Summary<'_>, output: &Path) -> Result<String> {
    let Summary { args, rows, state, validation_perplexity, .. } = *summary;
    let name = output.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // The hub knows models by owner and name.
    let base_model = catalog::find(&args.model).map_or(args.model.as_str(), |entry| entry.repository);
    let environment = Environment::new();
    let card = environment.render_str(
        include_str!("model_card.md.jinja"),
        minijinja::context! {
            name, base_model, data => args.data.display().to_string(), rows => Serde(rows), state => Serde(state),
            run => Serde(&state.run), perplexity => validation_perplexity.map(Serde),
        },
    );
    card.context("the model card")
}
