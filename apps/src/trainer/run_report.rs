//! `report.html`: the curves of a run, its settings, and samples of before and after.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use minijinja::Environment;
use minijinja::value::Serde;

use crate::curve::Chart;
use crate::metrics::MetricsLine;
use crate::record::Summary;
use crate::samples::Sample;

/// Writes the page to the run's folder; it refers to no other file.
pub fn write(summary: &Summary<'_>, lines: &[MetricsLine], samples: &[Sample], output: &Path) -> Result<()> {
    let path = output.join("report.html");
    fs::write(&path, render(summary, lines, samples)? + "\n").with_context(|| path.display().to_string())
}

fn render(summary: &Summary<'_>, lines: &[MetricsLine], samples: &[Sample]) -> Result<String> {
    let Summary { args, rows, state, validation_perplexity, .. } = *summary;
    let mut environment = Environment::new();
    // The name's ending turns escaping on.
    environment.add_template("report.html", include_str!("run_report.html.jinja"))?;
    let page = environment.get_template("report.html").and_then(|template| {
        template.render(minijinja::context! {
            model => args.model.as_str(), data => args.data.display().to_string(), rows => Serde(rows), state => Serde(state),
            run => Serde(&state.run), perplexity => validation_perplexity.map(Serde),
            charts => Serde(charts(lines)), samples => Serde(samples),
        })
    });
    page.context("the report's page")
}

fn charts(lines: &[MetricsLine]) -> Vec<Chart> {
    let steps = |value: fn(f64, f64, f64) -> f64| {
        let points = lines.iter().filter_map(move |line| match *line {
            MetricsLine::Step { step, loss, grad_norm, lr, .. } => Some((step, value(loss, grad_norm, lr))),
            MetricsLine::Evaluation { .. } => None,
        });
        points.collect::<Vec<_>>()
    };
    let evaluations = lines.iter().filter_map(|line| match *line {
        MetricsLine::Evaluation { step, eval_loss, .. } => Some((step, eval_loss)),
        MetricsLine::Step { .. } => None,
    });
    let charts = [
        Chart::new(
            "Loss",
            &[("training", steps(|loss, _, _| loss)), ("rows held back", evaluations.collect())],
        ),
        Chart::new("Learning rate", &[("learning rate", steps(|_, _, lr| lr))]),
        Chart::new("Gradient norm", &[("before clipping", steps(|_, grad_norm, _| grad_norm))]),
    ];
    charts.into_iter().flatten().collect()
}
