//! Opens an index, or builds it.

use std::borrow::Borrow;
use std::fs;
use std::path::Path;

use super::manifest::{MadeWith, Manifest};
use super::state::State;
use super::store::{Store, Stored, lock, read_folder};
use super::worker::Shared;
use super::{Index, IndexOptions, IndexOrigin};
use crate::{Document, Embedder, RagError};

/// How often a folder is read again whose owner changes it meanwhile.
const TRIES: usize = 5;

/// What was found in a folder.
struct Found {
    state: State,
    /// Why nothing of it could be used.
    unusable: Option<String>,
    /// What was left out of it.
    damage: Vec<RagError>,
}

impl Index {
    /// An empty index in memory.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn in_memory(embedder: &dyn Embedder, options: IndexOptions) -> Result<Index, RagError> {
        Self::start(State::new(MadeWith::new(embedder, options)), options)
    }

    fn start(state: State, options: IndexOptions) -> Result<Index, RagError> {
        let made_with = state.made_with.clone();
        Ok(Index { shared: Shared::start(state)?, made_with, options })
    }

    /// Opens the index that is kept in `folder`, or begins an empty one there. Files that are damaged are
    /// left out, and given back as errors that name them: the rest can be searched.
    ///
    /// # Errors
    /// If the index was made with another embedder or other options, it is open elsewhere, or its folder
    /// cannot be read or written.
    pub fn open(
        folder: &Path,
        embedder: &dyn Embedder,
        options: IndexOptions,
    ) -> Result<(Index, Vec<RagError>), RagError> {
        let made_with = MadeWith::new(embedder, options);
        let Some(lock) = lock(folder)? else {
            return Err(RagError::file(folder, "is open elsewhere"));
        };
        let manifest = Manifest::read(folder)?;
        if let Some(difference) =
            manifest.as_ref().and_then(|manifest| manifest.made_with.difference(&made_with))
        {
            return Err(RagError::file(folder, difference));
        }
        let stored = manifest.map(|manifest| read_folder(folder, &manifest)).transpose()?;
        let store = Store::open(folder, lock, stored.as_ref(), &made_with)?;
        let mut state = State::new(made_with);
        let damage = restore(&mut state, stored, folder);
        state.store = Some(store);
        Ok((Self::start(state, options)?, damage))
    }

    /// The index of `documents`: read from the folder `cache` and brought up to date, else built, and kept in
    /// `cache` if there is one. Only what changed since is embedded. If another process has the folder open,
    /// it is read, but what changed is not kept.
    ///
    /// # Errors
    /// If the documents cannot be embedded or `cache` cannot be written. A cache that cannot be used
    /// is no error; [`IndexOrigin`] says what was wrong with it.
    pub fn open_or_build<D: Borrow<Document>>(
        documents: &[D],
        embedder: &dyn Embedder,
        options: IndexOptions,
        cache: Option<&Path>,
    ) -> Result<(Index, IndexOrigin), RagError> {
        Self::open_or_build_with(documents, embedder, options, cache, &mut |_, _| ())
    }

    /// The same; `progress` is told how many of how many passages have been embedded.
    ///
    /// # Errors
    /// Those of [`open_or_build`](Self::open_or_build).
    pub fn open_or_build_with<D: Borrow<Document>>(
        documents: &[D],
        embedder: &dyn Embedder,
        options: IndexOptions,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Index, IndexOrigin), RagError> {
        let made_with = MadeWith::new(embedder, options);
        let Found { state, unusable, damage } = match cache {
            Some(folder) => Self::find(folder, made_with)?,
            None => Found {
                state: State::new(made_with),
                unusable: Some("no cache is kept".into()),
                damage: Vec::new(),
            },
        };
        let index = Self::start(state, options)?;
        let (changed, removed) = index.update(documents, embedder, progress)?;
        let damage: Vec<String> = damage.iter().map(RagError::to_string).collect();
        let origin = match unusable {
            Some(reason) => IndexOrigin::Built { reason },
            None if changed + removed + damage.len() == 0 => IndexOrigin::Cache,
            None => IndexOrigin::Updated { changed, removed, damage },
        };
        Ok((index, origin))
    }

    /// Builds an index of `documents` in memory.
    ///
    /// # Errors
    /// If the documents cannot be embedded.
    pub fn build<D: Borrow<Document>>(
        documents: &[D],
        embedder: &dyn Embedder,
        options: IndexOptions,
    ) -> Result<Index, RagError> {
        Ok(Self::open_or_build(documents, embedder, options, None)?.0)
    }

    /// What of `folder` can be used.
    fn find(folder: &Path, made_with: MadeWith) -> Result<Found, RagError> {
        let mut unusable = None;
        if folder.is_file() {
            // As earlier versions kept it.
            fs::remove_file(folder).map_err(RagError::io(folder))?;
            unusable = Some(format!("{} is not a readable index: it was a file", folder.display()));
        }
        let mut state = State::new(made_with);
        let Some(lock) = lock(folder)? else {
            return Self::look_on(folder, state);
        };
        let stored = match Manifest::read(folder) {
            Ok(Some(manifest)) => match manifest.made_with.difference(&state.made_with) {
                None => Some(read_folder(folder, &manifest)?),
                Some(difference) => {
                    unusable = Some(difference);
                    None
                }
            },
            Ok(None) => {
                unusable = unusable.or_else(|| Some("for the first time".into()));
                None
            }
            Err(error) => {
                unusable = Some(error.to_string());
                None
            }
        };
        let store = Store::open(folder, lock, stored.as_ref(), &state.made_with)?;
        let damage = restore(&mut state, stored, folder);
        state.store = Some(store);
        Ok(Found { state, unusable, damage })
    }

    /// What of the folder of another owner can be used, in memory.
    fn look_on(folder: &Path, mut state: State) -> Result<Found, RagError> {
        for _ in 0..TRIES {
            let Ok(Some(manifest)) = Manifest::read(folder) else { continue };
            if manifest.made_with.difference(&state.made_with).is_some() {
                break;
            }
            let stored = read_folder(folder, &manifest)?;
            // Else the owner may have replaced segments since the manifest was read.
            if stored.damage.is_empty() {
                let damage = restore(&mut state, Some(stored), folder);
                return Ok(Found { state, unusable: None, damage });
            }
        }
        let unusable = Some(format!("{} is open elsewhere", folder.display()));
        Ok(Found { state, unusable, damage: Vec::new() })
    }
}

fn restore(state: &mut State, stored: Option<Stored>, folder: &Path) -> Vec<RagError> {
    let Some(Stored { parts, changes, mut damage, next, .. }) = stored else { return Vec::new() };
    let changes = state.restore(parts, changes, next);
    damage.extend(changes.into_iter().map(|reason| RagError::file(folder, reason)));
    damage
}
