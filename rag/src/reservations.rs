//! Reservations: who changes what, so that two changes of the same document follow each other.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What is being changed, by name.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    reserved: Mutex<HashSet<String>>,
    released: Condvar,
}

/// Names that nobody else changes until this is dropped.
pub(crate) struct Reservation<'a> {
    reservations: &'a Reservations,
    names: Vec<String>,
}

impl Reservations {
    /// Waits until none of `names` is reserved, and reserves them all at once: no two callers wait for each other.
    pub fn reserve(&self, mut names: Vec<String>) -> Reservation<'_> {
        names.sort_unstable();
        names.dedup();
        let is_reserved = |reserved: &mut HashSet<String>| names.iter().any(|name| reserved.contains(name));
        let reserved = self.released.wait_while(self.lock(), is_reserved);
        reserved.unwrap_or_else(PoisonError::into_inner).extend(names.iter().cloned());
        Reservation { reservations: self, names }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut reserved = self.reservations.lock();
        self.names.iter().for_each(|name| {
            reserved.remove(name);
        });
        drop(reserved);
        self.reservations.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn changes_of_the_same_name_follow_each_other_and_others_do_not_wait() {
        let reservations = Reservations::default();
        let held = reservations.reserve(vec!["a".into(), "b".into(), "a".into()]);
        drop(reservations.reserve(vec!["c".into()]));
        let running = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for names in [["a", "c"], ["b", "c"], ["c", "a"], ["b", "a"]] {
                let (reservations, running) = (&reservations, &running);
                scope.spawn(move || {
                    let _reserved = reservations.reserve(names.map(String::from).to_vec());
                    // Every two of them share a name.
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            assert_eq!(running.load(Ordering::SeqCst), 0, "all wait for a or b");
            drop(held);
        });
        assert!(reservations.lock().is_empty());
    }
}
