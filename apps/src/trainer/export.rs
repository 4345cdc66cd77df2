//! Models for other programs: `merge` writes safetensors, `export` (or `quantize`) GGUF and NF4.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use llama::{Export, Float, hub};

use crate::base::warn_of_other_base;
use crate::cli::{Dtype, ExportArgs, ExportFormat, MergeArgs};

/// `trainer merge`.
pub fn merge(args: &MergeArgs) -> Result<()> {
    let model = hub::resolve(&args.model)?;
    let export = Export::open(&model, Some(&args.adapter))?;
    warn_of_other_base(&args.adapter, &model);
    let dtype = args.dtype.map(|dtype| match dtype {
        Dtype::F16 => Float::F16,
        Dtype::Bf16 => Float::BF16,
        Dtype::F32 => Float::F32,
    });
    with_bar(|progress| export.write_folder(&args.output, dtype, progress))?;
    report("merged model", &args.output, &args.output.join("model.safetensors"))
}

/// `trainer export`.
pub fn run(args: &ExportArgs) -> Result<()> {
    let model = hub::resolve(&args.model)?;
    let export = Export::open(&model, args.adapter.as_deref())?;
    if let Some(adapter) = &args.adapter {
        warn_of_other_base(adapter, &model);
    }
    let (what, weights) = match args.format {
        ExportFormat::Gguf(recipe) => {
            with_bar(|progress| export.write_gguf(&args.output, recipe, progress))?;
            (recipe.name(), args.output.clone())
        }
        ExportFormat::Nf4 => {
            with_bar(|progress| export.write_nf4(&args.output, progress))?;
            ("NF4", args.output.join("model.safetensors"))
        }
    };
    report(what, &args.output, &weights)
}

/// Shows on a terminal how many tensors are written.
fn with_bar(write: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<(), llama::LlamaError>) -> Result<()> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} tensors")?);
    let written = write(&mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(written?)
}

fn report(what: &str, output: &Path, weights: &Path) -> Result<()> {
    let bytes = fs::metadata(weights).with_context(|| weights.display().to_string())?.len();
    println!("{what} written to {} ({:.1} MB)", output.display(), bytes as f64 / 1e6);
    Ok(())
}
