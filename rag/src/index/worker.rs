//! Who may change an index: callers, one at a time, and a thread that merges segments meanwhile. Searches
//! wait for neither: they look at the last snapshot that was published.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use super::Snapshot;
use super::state::State;
use crate::RagError;

/// An index as its callers and its thread see it.
#[derive(Debug)]
pub(super) struct Shared {
    snapshot: RwLock<Arc<Snapshot>>,
    work: Mutex<Work>,
    /// There may be something to merge, or the thread must end.
    wake: Condvar,
    /// The thread found nothing to merge.
    rest: Condvar,
}

/// What only one at a time changes.
#[derive(Debug)]
pub(super) struct Work {
    pub state: State,
    is_idle: bool,
    is_stopped: bool,
    /// Why the last merge failed. Nothing is lost by it; it is tried again after the next change.
    trouble: Option<RagError>,
}

impl Shared {
    /// Starts the thread.
    pub fn start(state: State) -> Result<Arc<Self>, RagError> {
        let snapshot = RwLock::new(Arc::new(Snapshot::new(state.parts.clone())));
        let work = Work { state, is_idle: false, is_stopped: false, trouble: None };
        let shared =
            Arc::new(Shared { snapshot, work: Mutex::new(work), wake: Condvar::new(), rest: Condvar::new() });
        let own = shared.clone();
        let thread = thread::Builder::new().name("index".into()).spawn(move || own.run());
        thread.map_err(RagError::io("thread of the index".as_ref()))?;
        Ok(shared)
    }

    /// What there is to search.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, state: &State) {
        let snapshot = Arc::new(Snapshot::new(state.parts.clone()));
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change and publishes it, whether or not it succeeds: a part of it may have been made.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, RagError>) -> Result<T, RagError> {
        let mut work = self.lock();
        let result = change(&mut work.state);
        self.publish(&work.state);
        work.is_idle = false;
        self.wake.notify_one();
        result
    }

    /// Waits until there is nothing to merge; the reason if that failed.
    pub fn settle(&self) -> Result<(), RagError> {
        let mut work = self.lock();
        while !work.is_idle && !work.is_stopped {
            work = self.rest.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        work.trouble.take().map_or(Ok(()), Err)
    }

    /// Lets the thread end, and another owner have the folder. A merge that is under way is thrown away.
    pub fn stop(&self) {
        let mut work = self.lock();
        work.is_stopped = true;
        work.state.store = None;
        self.wake.notify_one();
    }

    fn run(&self) {
        let mut work = self.lock();
        while !work.is_stopped {
            match work.state.next_job() {
                Ok(Some(job)) => {
                    drop(work);
                    let made = catch_unwind(AssertUnwindSafe(|| job.run())).unwrap_or_else(|_| {
                        Err(RagError::file("thread of the index".as_ref(), "a merge panicked"))
                    });
                    work = self.lock();
                    if work.is_stopped {
                        return;
                    }
                    match work.state.finish(&job, made) {
                        Ok(()) => {
                            self.publish(&work.state);
                            continue;
                        }
                        Err(error) => {
                            self.publish(&work.state);
                            work.trouble = Some(error);
                        }
                    }
                }
                Ok(None) => work.trouble = None,
                Err(error) => work.trouble = Some(error),
            }
            work.is_idle = true;
            self.rest.notify_all();
            while work.is_idle && !work.is_stopped {
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.rest.notify_all();
    }
}
