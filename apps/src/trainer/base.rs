//! Warns if an adapter was trained on another model.

use std::path::Path;

use llama::Adapter;

/// Prints a warning on stderr if the adapter was trained on another model.
pub fn warn_of_other_base(adapter: &Path, model: &Path) {
    if let Some(warning) = Adapter::warn_of_other_base(adapter, model) {
        eprintln!("warning: {warning}");
    }
}
