//! Where an index came from.

use std::fmt;

/// Where an index came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexOrigin {
    /// Read from its folder, which was up to date.
    Cache,
    /// Read from its folder and brought up to date: only what changed was embedded.
    Updated {
        /// Documents that are new or have changed.
        changed: usize,
        /// Documents that are gone.
        removed: usize,
        /// Files that were damaged; their documents were indexed again.
        damage: Vec<String>,
    },
    /// Built from the documents.
    Built {
        /// Why the folder could not be used, as a clause: `for the first time`.
        reason: String,
    },
}

impl fmt::Display for IndexOrigin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            IndexOrigin::Cache => write!(f, "index read from its cache"),
            IndexOrigin::Updated { changed, removed, damage } => {
                write!(f, "index brought up to date: {changed} documents new or changed, {removed} gone")?;
                damage.iter().try_for_each(|damage| write!(f, "; {damage}"))
            }
            IndexOrigin::Built { reason } => write!(f, "index built: {reason}"),
        }
    }
}
