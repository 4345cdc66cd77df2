//! How many threads the CPU kernels use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// 0: as many as the machine has.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Lets the kernels use at most `threads` threads; 0 means as many as the machine has.
pub fn set(threads: usize) {
    LIMIT.store(threads, Ordering::Relaxed);
}

/// The number of threads that the kernels use.
pub fn get() -> usize {
    // Asking takes system calls, and kernels ask often.
    static MACHINE: OnceLock<usize> = OnceLock::new();
    let machine = *MACHINE.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    match LIMIT.load(Ordering::Relaxed) {
        0 => machine,
        limit => limit.min(machine),
    }
}
