//! The model that an adapter is put on.

use std::path::Path;

use llama::Adapter;

/// Says on stderr if an adapter was trained on another model.
pub fn warn_of_other_base(adapter: &Path, model: &Path) {
    if let Some(warning) = Adapter::warn_of_other_base(adapter, model) {
        eprintln!("warning: {warning}");
    }
}
