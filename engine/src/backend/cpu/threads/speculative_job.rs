//! A job that owns all it reads and writes, so that its caller need not wait for a helper: if another
//! process has pushed the helper off its core, the caller does the helper's task again and goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::backend::cpu::threads::prefetch::Reads;

/// The least time that a helper is waited for.
const PATIENCE: Duration = Duration::from_micros(20);

/// Tasks of which every thread has a share, neighbours that it takes one by one: the memory is read in long
/// streams. Who has done its own takes the last of another's.
pub(crate) struct SpeculativeJob {
    /// Writes to memory of its own.
    task: Box<dyn Fn(usize) + Send + Sync>,
    done: Vec<AtomicBool>,
    shares: Vec<Share>,
    /// What the next job reads.
    pub next: Option<Reads>,
}

impl SpeculativeJob {
    /// `next` is what helpers should fetch when they have done all.
    pub fn new(
        tasks: usize,
        threads: usize,
        task: Box<dyn Fn(usize) + Send + Sync>,
        next: Option<Reads>,
    ) -> Self {
        let done = (0..tasks).map(|_| AtomicBool::new(false)).collect();
        let shares = (0..threads).map(|thread| Share::of(thread, threads, tasks)).collect();
        Self { task, done, shares, next }
    }

    /// The part of a helper, the thread of this number; the caller is number 0.
    pub fn help(&self, thread: usize) {
        while let Some(index) = self.take(thread) {
            (self.task)(index);
            self.done[index].store(true, Ordering::Release);
        }
    }

    /// The caller's part: `mine(task)` does a task in place, `collect(task)` puts in place what a helper
    /// has done. At the end all are.
    pub fn finish(&self, mine: impl Fn(usize), collect: impl Fn(usize)) {
        let mut theirs = vec![true; self.done.len()];
        let start = Instant::now();
        let mut count = 0;
        while let Some(index) = self.take(0) {
            mine(index);
            theirs[index] = false;
            count += 1;
        }
        let worked = start.elapsed();
        // What two tasks take: a helper that works has done one by then.
        let patience = start.elapsed() + (2 * worked / count.max(1) as u32).max(PATIENCE);
        for (index, _) in theirs.iter().enumerate().filter(|(_, theirs)| **theirs) {
            let mut late = false;
            while !self.done[index].load(Ordering::Acquire) && !late {
                (0..16).for_each(|_| std::hint::spin_loop());
                late = start.elapsed() > patience;
            }
            if late { mine(index) } else { collect(index) }
        }
    }

    fn take(&self, thread: usize) -> Option<usize> {
        let (before, from) = self.shares.split_at(thread);
        let (own, after) = from.split_first()?;
        own.first().or_else(|| after.iter().chain(before).find_map(Share::last))
    }
}

/// The tasks of a thread that nobody has taken yet: the first one's number above the end's.
#[repr(align(64))] // of a cache line of its own
struct Share(AtomicU64);

impl Share {
    fn of(thread: usize, threads: usize, tasks: usize) -> Self {
        let (first, end) = (first_task(thread, threads, tasks), first_task(thread + 1, threads, tasks));
        Self(AtomicU64::new((first as u64) << 32 | end as u64))
    }

    fn first(&self) -> Option<usize> {
        self.take(1 << 32).map(|(first, _)| first)
    }

    fn last(&self) -> Option<usize> {
        self.take(u64::MAX).map(|(_, end)| end - 1)
    }

    /// Adds `change` if tasks are left; returns which there were.
    fn take(&self, change: u64) -> Option<(usize, usize)> {
        let parts = |share: u64| ((share >> 32) as usize, share as u32 as usize);
        let left = |share| {
            let (first, end) = parts(share);
            (first < end).then(|| share.wrapping_add(change))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok().map(parts)
    }
}

/// Where the share of a thread begins.
pub(crate) fn first_task(thread: usize, threads: usize, tasks: usize) -> usize {
    thread * tasks / threads
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    #[test]
    fn a_helper_that_never_comes_back_is_not_waited_for() {
        let (began, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let job = Arc::new(SpeculativeJob::new(
            4,
            2,
            Box::new(move |index| {
                began.send(index).unwrap();
                let _ = released.lock().unwrap().recv(); // until the test is over
            }),
            None,
        ));
        let helper = std::thread::spawn({
            let job = Arc::clone(&job);
            move || job.help(1)
        });
        let stuck = begins.recv().unwrap();
        let mine = Mutex::new(Vec::new());
        job.finish(|index| mine.lock().unwrap().push(index), |index| panic!("{index} was not done"));
        let mine = mine.into_inner().unwrap();
        assert_eq!(
            (stuck, mine),
            (2, vec![0, 1, 3, 2]),
            "its own, what is left of the helper's, what is late"
        );
        drop(release);
        helper.join().unwrap();
    }

    #[test]
    fn what_a_helper_has_done_is_collected() {
        let job = SpeculativeJob::new(4, 3, Box::new(|_| {}), None);
        job.help(2);
        let collected = Mutex::new(Vec::new());
        job.finish(|index| panic!("{index} was done"), |index| collected.lock().unwrap().push(index));
        assert_eq!(collected.into_inner().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn shares_are_all_tasks_once() {
        for (tasks, threads) in [(0, 2), (1, 3), (7, 2), (32, 5)] {
            let job = SpeculativeJob::new(tasks, threads, Box::new(|_| {}), None);
            let mut taken: Vec<usize> =
                (0..tasks).map(|turn| job.take(turn % threads).expect("a task a turn")).collect();
            assert_eq!(job.take(0), None);
            taken.sort_unstable();
            assert_eq!(taken, (0..tasks).collect::<Vec<_>>());
        }
    }
}
