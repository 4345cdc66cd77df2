//! The threads of the kernels: a pool that forks and joins, jobs that nobody waits for, and what idle threads fetch.

pub(crate) mod pool;
pub(crate) mod prefetch;
mod speculative_job;
