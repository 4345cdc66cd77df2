//! What the process spends its time on: the engine's spans as folded stacks, for speedscope, inferno or flamegraph.pl.
//! Only in builds with the feature `profile`.

use std::fs::File;
use std::io::BufWriter;

use tracing_flame::{FlameLayer, FlushGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that names the file.
const FILE: &str = "HEARTH_PROFILE";

/// Completes the file when it is dropped.
pub type Flush = FlushGuard<BufWriter<File>>;

/// What writes the profile.
type ProfileLayer = FlameLayer<Registry, BufWriter<File>>;

/// A layer that writes spans to the file named by `HEARTH_PROFILE`, if that is set.
///
/// # Errors
/// If the file cannot be written.
pub fn layer() -> anyhow::Result<Option<(ProfileLayer, Flush)>> {
    let Some(path) = std::env::var_os(FILE) else { return Ok(None) };
    let file = File::create(&path).map_err(|error| anyhow::anyhow!("{FILE}={}: {error}", path.display()))?;
    let layer = FlameLayer::new(BufWriter::new(file)).with_module_path(false).with_file_and_line(false);
    let flush = layer.flush_on_drop();
    Ok(Some((layer.with_empty_samples(false).with_threads_collapsed(true), flush)))
}

/// Begins the profile of a command that logs nothing else.
///
/// # Errors
/// As [`layer`].
pub fn begin() -> anyhow::Result<Option<Flush>> {
    let (layer, flush) = layer()?.unzip();
    tracing_subscriber::registry().with(layer).init();
    Ok(flush)
}
