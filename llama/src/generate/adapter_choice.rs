//! The adapter of a request.

use std::sync::{Arc, Mutex, PoisonError};

use engine::AdapterId;

/// Which adapter a request is computed under.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AdapterChoice {
    /// The one that the model was loaded with, if any.
    #[default]
    Default,
    /// None: the base model alone.
    Base,
    /// One that was loaded beside it, which stays loaded as long as a request or anybody else holds it.
    Loaded(LoadedAdapter),
}

impl AdapterChoice {
    /// The adapter meant, where `default` is the model's own.
    pub(crate) fn id(&self, default: Option<AdapterId>) -> Option<AdapterId> {
        match self {
            Self::Default => default,
            Self::Base => None,
            Self::Loaded(loaded) => Some(loaded.shared.id),
        }
    }
}

/// An adapter that the model of a `Scheduler` has loaded. It is unloaded when the last copy of this is dropped.
#[derive(Debug, Clone)]
pub struct LoadedAdapter {
    shared: Arc<Use>,
}

impl PartialEq for LoadedAdapter {
    fn eq(&self, other: &Self) -> bool {
        self.shared.id == other.shared.id
    }
}

#[derive(Debug)]
struct Use {
    id: AdapterId,
    unloading: Unloading,
}

impl Drop for Use {
    fn drop(&mut self) {
        self.unloading.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
    }
}

/// Adapters that nobody uses any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unloading(Arc<Mutex<Vec<AdapterId>>>);

impl Unloading {
    /// The first user of an adapter.
    pub fn watch(&self, id: AdapterId) -> LoadedAdapter {
        LoadedAdapter { shared: Arc::new(Use { id, unloading: self.clone() }) }
    }

    /// Takes the adapters that became unused since the last call.
    pub fn take(&self) -> Vec<AdapterId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
