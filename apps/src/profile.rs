//! What the process does and for how long: the engine's spans in Chrome's trace format, for Perfetto or speedscope.
//! Only in builds with the feature `profile`.

use tracing_chrome::{ChromeLayer, ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that names the file.
const FILE: &str = "HEARTH_PROFILE";

/// A layer that writes spans to the file named by `HEARTH_PROFILE`, if it is set, and what completes the file when it
/// is dropped.
///
/// # Errors
/// If the file cannot be written.
pub fn layer() -> anyhow::Result<Option<(ChromeLayer<Registry>, FlushGuard)>> {
    let Some(path) = std::env::var_os(FILE) else { return Ok(None) };
    let file = std::fs::File::create(&path)
        .map_err(|error| anyhow::anyhow!("{FILE}={}: {error}", path.display()))?;
    Ok(Some(ChromeLayerBuilder::new().writer(file).include_args(true).build()))
}

/// Begins the profile of a command that logs nothing else.
///
/// # Errors
/// As [`layer`].
pub fn begin() -> anyhow::Result<Option<FlushGuard>> {
    let (layer, flush) = layer()?.unzip();
    tracing_subscriber::registry().with(layer).init();
    Ok(flush)
}
