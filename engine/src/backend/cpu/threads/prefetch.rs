//! What idle threads do while a token is decoded: every token multiplies by the same matrices in the same
//! order, so a helper that has no task fetches into its own cache what its first tasks of the next product
//! will read. Between products the memory would rest otherwise, and a decoded token is mostly memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::cpu::threads::speculative_job::first_task;

/// Bytes that a helper fetches at most: its second cache holds them beside what it works on.
const MOST: usize = 640 << 10;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines that are asked for before a helper looks whether it is called.
const FEW: usize = 16;
/// Products that are remembered: more than any model has. When a process has loaded many models, the memory is cleared.
const REMEMBERED: usize = 4096;

/// What each task of a product reads. Addresses and not references, because they are only prefetched: the memory may have
/// been freed.
pub(crate) type Reads = Arc<Vec<Vec<Range<usize>>>>;

/// Which product follows which, by the addresses of their weights.
#[derive(Default)]
struct Order {
    last: usize,
    next: HashMap<usize, (usize, Reads)>,
}

static ORDER: Mutex<Option<Order>> = Mutex::new(None);

/// Notes that the product of the weights at `address` begins, which reads what `reads()` says, and tells what
/// the one will read that followed it the last time.
pub(crate) fn begin(address: usize, reads: impl FnOnce() -> Vec<Vec<Range<usize>>>) -> Option<Reads> {
    let mut order = ORDER.lock().unwrap_or_else(PoisonError::into_inner);
    order.get_or_insert_default().begin(address, reads)
}

impl Order {
    fn begin(&mut self, address: usize, reads: impl FnOnce() -> Vec<Vec<Range<usize>>>) -> Option<Reads> {
        let last = std::mem::replace(&mut self.last, address);
        if self.next.get(&last).is_none_or(|(next, _)| *next != address) {
            if self.next.len() >= REMEMBERED {
                self.next.clear();
            }
            self.next.insert(last, (address, Arc::new(reads())));
        }
        self.next.get(&address).map(|(_, reads)| reads.clone())
    }
}

/// A helper's place in what it fetches.
#[derive(Default)]
pub(crate) struct Fetch {
    reads: Option<Reads>,
    /// The task, the range of what it reads, the byte.
    at: [usize; 3],
    left: usize,
}

impl Fetch {
    /// What the share of a thread begins with.
    pub fn new(reads: Option<Reads>, thread: usize, threads: usize) -> Self {
        let tasks = reads.as_ref().map_or(0, |reads| reads.len());
        Self { reads, at: [first_task(thread, threads, tasks), 0, 0], left: MOST }
    }

    /// Asks for the next few lines; false if there are none.
    pub fn few(&mut self) -> bool {
        for _ in 0..FEW {
            match self.line() {
                Some(address) => prefetch(Cache::Second, address),
                None => return false,
            }
        }
        true
    }

    fn line(&mut self) -> Option<usize> {
        loop {
            let [task, range, byte] = self.at;
            let task = self.reads.as_ref()?.get(task).filter(|_| self.left > 0);
            match task.map(|ranges| ranges.get(range)) {
                Some(Some(range)) if byte < range.len() => {
                    self.at[2] += LINE;
                    self.left = self.left.saturating_sub(LINE);
                    return Some(range.start + byte);
                }
                Some(Some(_)) => self.at = [self.at[0], range + 1, 0],
                Some(None) => self.at = [self.at[0] + 1, 0, 0],
                None => self.reads = None,
            }
        }
    }
}

/// Where a line is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cache {
    /// What is used next; the first cache has few places for lines on their way.
    First,
    /// What is used later.
    Second,
}

/// Asks for the cache line of `address`, which need not exist.
#[inline(always)]
pub(crate) fn prefetch(cache: Cache, address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch may name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let line = std::ptr::without_provenance(address);
        match cache {
            Cache::First => _mm_prefetch::<_MM_HINT_T0>(line),
            Cache::Second => _mm_prefetch::<_MM_HINT_T1>(line),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cache, address);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(start: usize) -> Vec<Vec<Range<usize>>> {
        vec![vec![start..start + 100, start + 1000..start + 1064], vec![start + 2000..start + 2001]]
    }

    #[test]
    fn a_round_tells_what_the_next_one_reads() {
        let mut order = Order::default();
        for address in [1, 2, 3] {
            assert!(order.begin(address, || reads(address)).is_none());
        }
        for (address, next) in [(1, 2), (2, 3), (3, 1), (1, 2)] {
            assert_eq!(order.begin(address, || reads(address)).map(|next| next[0][0].start), Some(next));
        }
        order.begin(7, || reads(7)); // another model's
        assert_eq!(order.begin(1, || reads(1)).unwrap()[0][0].start, 7, "the last time counts");
    }

    #[test]
    fn a_helper_fetches_from_its_share_on() {
        let lines = |thread, threads| {
            let mut fetch = Fetch::new(Some(Arc::new(reads(0))), thread, threads);
            std::iter::from_fn(move || fetch.line()).collect::<Vec<_>>()
        };
        assert_eq!(lines(0, 1), [0, 64, 1000, 2000]);
        assert_eq!((lines(1, 2), lines(4, 4)), (vec![2000], vec![]));
        let endless = vec![vec![0..usize::MAX]];
        let mut fetch = Fetch::new(Some(Arc::new(endless)), 0, 1);
        assert_eq!(std::iter::from_fn(|| fetch.line()).count() * LINE, MOST);
        assert!(!Fetch::new(None, 0, 1).few());
    }
}
