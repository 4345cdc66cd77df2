//! The threads of the kernels: fork, take tasks one by one, join.
//!
//! Two things decide its form. A decoded token is some two hundred parallel sections of a few
//! microseconds each, so threads wait for the next one spinning, briefly. And another process may take
//! a core at any time: tasks are taken one by one, so whoever runs does the work, a thread that has not
//! begun is not waited for, and whoever waits goes to sleep soon, which frees its core for the one that
//! it waits for.
//! A job that owns its memory ([`run_speculative`]) goes further: the caller does again what a helper that
//! was pushed off its core has begun.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::backend::cpu::threads::prefetch::{Fetch, Reads};
use crate::backend::cpu::threads::speculative_job::SpeculativeJob;
use crate::threads;

/// How long an idle thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(60);
/// Set in [`Pool::gate`] while no thread may enter.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Bits of [`Pool::call`] that say how many helpers are called; those above them count the calls.
const HELPERS: u32 = 16;

/// Runs `task(0)`, …, `task(tasks - 1)`, in any order, on the caller's thread and on those of the pool
/// that come in time. A pool that is in use already leaves all to the caller.
///
/// # Panics
/// If a task does.
pub(crate) fn run(tasks: usize, task: &(dyn Fn(usize) + Sync)) {
    let helpers = threads::get().min(tasks).saturating_sub(1);
    if helpers == 0 {
        return (0..tasks).for_each(task);
    }
    let pool = POOL.get_or_init(Pool::start);
    let Ok(caller) = pool.caller.try_lock() else {
        return (0..tasks).for_each(task);
    };
    let panic = pool.fork(Job { task, tasks, helpers, caller: std::thread::current() });
    drop(caller); // before a panic goes on, which would leave the lock poisoned and the pool unused
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Runs each task once or, where a helper was interrupted in it, twice: `theirs(task)` on a helper, to memory
/// that it owns and whose parts `collect(task)` puts in place, or `mine(task)` in place on the caller's
/// thread. Returns when all are in place; a helper may then still be busy with a task done twice, or with
/// fetching what the next call will read, which `next()` tells.
pub(crate) fn run_speculative(
    tasks: usize,
    next: impl FnOnce() -> Option<Reads>,
    theirs: impl Fn(usize) + Send + Sync + 'static,
    mine: impl Fn(usize),
    collect: impl Fn(usize),
) {
    let helpers = threads::get().min(tasks).saturating_sub(1);
    if helpers == 0 {
        return (0..tasks).for_each(mine);
    }
    let pool = POOL.get_or_init(Pool::start);
    let Ok(caller) = pool.caller.try_lock() else {
        return (0..tasks).for_each(mine);
    };
    let job = Arc::new(SpeculativeJob::new(tasks, helpers + 1, Box::new(theirs), next()));
    for worker in pool.workers.iter().take(helpers) {
        *worker.offer() = Arc::downgrade(&job); // who comes late finds nothing, and keeps nothing alive
    }
    pool.announce(helpers);
    let outcome = catch_unwind(AssertUnwindSafe(|| job.finish(mine, collect)));
    drop(caller); // before a panic goes on
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Cuts `values` into pieces of `len` and runs `task(index, piece)` on each.
pub(crate) fn pieces<T: Send>(values: &mut [T], len: usize, task: impl Fn(usize, &mut [T]) + Sync) {
    let pieces: Vec<Mutex<&mut [T]>> = values.chunks_mut(len.max(1)).map(Mutex::new).collect();
    run(pieces.len(), &|index| {
        task(index, &mut pieces[index].lock().unwrap_or_else(PoisonError::into_inner))
    });
}

type Panic = Box<dyn Any + Send>;

static POOL: OnceLock<Pool> = OnceLock::new();

#[derive(Clone)]
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    tasks: usize,
    /// Threads that may help.
    helpers: usize,
    caller: Thread,
}

struct Pool {
    /// Held by the thread whose job is under way.
    caller: Mutex<()>,
    /// The last call to a job: which one it is, and how many of the workers it calls, the first ones.
    call: AtomicUsize,
    /// [`CLOSED`], and the number of threads inside the job.
    gate: AtomicUsize,
    /// Written while the gate is closed and nobody is inside, read by those who entered.
    job: std::cell::UnsafeCell<Option<Job<'static>>>,
    /// The next task to take.
    next: AtomicUsize,
    /// What a helper's task panicked with.
    panic: Mutex<Option<Panic>>,
    workers: Vec<Worker>,
}

struct Worker {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
    /// The last job, if it was a speculative one. Each worker has its own, because all would wait for a common lock at the
    /// start of every section.
    speculative: Mutex<Weak<SpeculativeJob>>,
}

impl Worker {
    fn offer(&self) -> MutexGuard<'_, Weak<SpeculativeJob>> {
        self.speculative.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: `job` follows the protocol of the gate; everything else is atomic or locked.
unsafe impl Sync for Pool {}

impl Pool {
    fn start() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(1 << HELPERS) - 1;
        for index in 0..count {
            let body = move || {
                let pool = POOL.wait();
                pool.work(index)
            };
            // A machine that gives no thread is left with fewer.
            let _ = std::thread::Builder::new().name(format!("kernel-{index}")).spawn(body);
        }
        let worker = |_| Worker {
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
            speculative: Mutex::new(Weak::new()),
        };
        Self {
            caller: Mutex::new(()),
            call: AtomicUsize::new(0),
            gate: AtomicUsize::new(CLOSED),
            job: None.into(),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            workers: (0..count).map(worker).collect(),
        }
    }

    /// Does the job with whoever comes; returns what a task panicked with.
    fn fork(&self, job: Job<'_>) -> Option<Panic> {
        // SAFETY: the gate is closed and the last caller waited for everybody to leave. The borrow ends
        // with this function, which returns only when nobody is inside and nobody can enter any more.
        unsafe { *self.job.get() = Some(std::mem::transmute::<Job<'_>, Job<'static>>(job.clone())) };
        self.next.store(0, Ordering::Relaxed);
        self.gate.fetch_and(!CLOSED, Ordering::AcqRel);
        self.announce(job.helpers);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.take_tasks(&job)));

        if self.gate.fetch_or(CLOSED, Ordering::AcqRel) != 0 {
            let start = Instant::now();
            while self.gate.load(Ordering::Acquire) != CLOSED {
                match start.elapsed() < SPIN {
                    true => (0..16).for_each(|_| std::hint::spin_loop()),
                    false => std::thread::park(), // the last one out wakes the caller
                }
            }
        }
        let helpers = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.err().or(helpers)
    }

    /// Calls the first `helpers` workers to a job. The others are not woken: they would only contend for the atomics that
    /// the working ones write.
    fn announce(&self, helpers: usize) {
        let count = self.call.load(Ordering::Relaxed) >> HELPERS; // written by callers, one at a time
        self.call.store(count.wrapping_add(1) << HELPERS | helpers, Ordering::SeqCst);
        for worker in self.workers.iter().take(helpers) {
            if worker.asleep.load(Ordering::SeqCst)
                && let Some(thread) = worker.thread.get()
            {
                thread.unpark();
            }
        }
    }

    fn take_tasks(&self, job: &Job<'_>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= job.tasks {
                return;
            }
            (job.task)(index);
        }
    }

    fn work(&self, index: usize) {
        let worker = &self.workers[index];
        worker.thread.get_or_init(std::thread::current);
        let mut seen = 0;
        let mut fetch = Fetch::default();
        loop {
            seen = self.wait(worker, seen, &mut fetch);
            let helpers = seen & ((1 << HELPERS) - 1);
            if index >= helpers {
                continue;
            }
            let speculative = std::mem::take(&mut *worker.offer());
            if let Some(job) = speculative.upgrade() {
                // A task that panics here is done again, and panics, on the caller's thread.
                let _ = catch_unwind(AssertUnwindSafe(|| job.help(index + 1)));
                fetch = Fetch::new(job.next.clone(), index + 1, helpers + 1);
            }
            if !self.enter() {
                continue;
            }
            // SAFETY: inside: the job is written, and stays until this thread leaves.
            let job = unsafe { (*self.job.get()).clone() }.expect("an open gate has a job");
            if index < job.helpers
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_tasks(&job)))
            {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            // The last one out wakes the caller.
            if self.gate.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1 {
                job.caller.unpark();
            }
        }
    }

    /// Enters the job, unless the gate is closed.
    fn enter(&self) -> bool {
        let open = |gate| (gate & CLOSED == 0).then_some(gate + 1);
        self.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, open).is_ok()
    }

    /// Waits for a call after `seen`, and fetches meanwhile.
    fn wait(&self, worker: &Worker, seen: usize, fetch: &mut Fetch) -> usize {
        let start = Instant::now();
        loop {
            let call = self.call.load(Ordering::SeqCst);
            if call != seen {
                return call;
            }
            if fetch.few() {
                continue;
            }
            if start.elapsed() < SPIN {
                (0..16).for_each(|_| std::hint::spin_loop());
                continue;
            }
            worker.asleep.store(true, Ordering::SeqCst);
            if self.call.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
            worker.asleep.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for tasks in [0, 1, 2, 3, 100, 1000] {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            run(tasks, &|index| {
                counts[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{tasks}");
        }
    }

    #[test]
    fn many_callers_and_calls_within_calls_come_through() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        run(4, &|_| {
                            run(3, &|_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 500 * 4 * 3);
    }

    #[test]
    fn pieces_are_disjoint_and_complete() {
        let mut values = vec![0; 103];
        pieces(&mut values, 10, |index, piece| piece.iter_mut().for_each(|value| *value += index + 1));
        assert!(values.iter().enumerate().all(|(i, value)| *value == i / 10 + 1));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        for _ in 0..50 {
            let caught = catch_unwind(|| run(64, &|index| assert!(index != 7, "seven")));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"seven")); // whosever task it was
        }
        assert!(POOL.get().is_none_or(|pool| !pool.caller.is_poisoned()));
        let count = AtomicUsize::new(0);
        run(64, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 64);
    }
}
