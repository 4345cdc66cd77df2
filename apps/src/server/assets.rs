//! Files shipped with the server: a sample knowledge base, and an adapter for the default model.
//!
//! They lie in the folder `assets` of the source tree where there is one, as after `cargo run`, else
//! in `assets` beside the executable, where an installation puts them.

use std::path::{Path, PathBuf};

/// The shipped knowledge base, if it is there.
pub fn knowledge() -> Option<PathBuf> {
    folder("knowledge")
}

/// The shipped adapter, if it is there.
pub fn adapter() -> Option<PathBuf> {
    folder("adapter")
}

fn folder(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let executable = std::env::current_exe().ok();
    let installed = executable.as_deref().and_then(Path::parent).map(|folder| folder.join("assets"));
    std::iter::once(source).chain(installed).map(|assets| assets.join(name)).find(|path| path.is_dir())
}
