//! A job that owns all it reads and writes, so that its caller need not wait for a helper: if another
//! process has pushed the helper off its core, the caller does the helper's task again and goes on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::ahead::Reads;

/// The least time that a helper is waited for.
const PATIENCE: Duration = Duration::from_micros(20);

/// Tasks that the caller takes from the first on and helpers from the last on, one by one.
pub(super) struct Detached {
    /// Writes to memory of its own.
    task: Box<dyn Fn(usize) + Send + Sync>,
    done: Vec<AtomicBool>,
    taken: AtomicUsize,
    /// Tasks before those that helpers have taken.
    before: AtomicUsize,
    /// What the next job reads.
    pub next: Option<Reads>,
}

impl Detached {
    /// `next` is what helpers should fetch when they have done all.
    pub fn new(tasks: usize, task: Box<dyn Fn(usize) + Send + Sync>, next: Option<Reads>) -> Self {
        let done = (0..tasks).map(|_| AtomicBool::new(false)).collect();
        Self { task, done, taken: AtomicUsize::new(0), before: AtomicUsize::new(tasks), next }
    }

    /// A helper's part.
    pub fn help(&self) {
        while self.take() {
            let index = self.before.fetch_sub(1, Ordering::Relaxed) - 1;
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
        while self.take() {
            mine(count);
            theirs[count] = false;
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

    /// Whether a task was left: then it is the caller's, the first of them, or the helper's, the last.
    fn take(&self) -> bool {
        self.taken.fetch_add(1, Ordering::Relaxed) < self.done.len()
    }
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
        let job = Arc::new(Detached::new(
            3,
            Box::new(move |index| {
                began.send(index).unwrap();
                let _ = released.lock().unwrap().recv(); // until the test is over
            }),
            None,
        ));
        let helper = std::thread::spawn({
            let job = Arc::clone(&job);
            move || job.help()
        });
        let stuck = begins.recv().unwrap();
        let mine = Mutex::new(Vec::new());
        job.finish(|index| mine.lock().unwrap().push(index), |index| panic!("{index} was not done"));
        let mine = mine.into_inner().unwrap();
        assert_eq!((stuck, mine), (2, vec![0, 1, 2]), "helpers begin at the end, and their task comes last");
        drop(release);
        helper.join().unwrap();
    }

    #[test]
    fn what_a_helper_has_done_is_collected() {
        let job = Detached::new(4, Box::new(|_| {}), None);
        job.help();
        let collected = Mutex::new(Vec::new());
        job.finish(|index| panic!("{index} was done"), |index| collected.lock().unwrap().push(index));
        assert_eq!(collected.into_inner().unwrap(), [0, 1, 2, 3]);
    }
}
