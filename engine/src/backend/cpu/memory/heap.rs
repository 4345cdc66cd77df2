//! The process's heap.

/// Lets the process keep memory that it frees for its next tensors, instead of giving it back to the system
/// and having it cleared anew: that is a tenth of a long prompt's time with glibc, whose default is made for
/// programs whose large allocations are rare. The peak stays what it was. Nothing happens elsewhere.
///
/// It is for applications, to be called before there are other threads; a library should not decide it.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (option, bytes) in [
        (libc::M_MMAP_THRESHOLD, AHEAD as i32),
        (libc::M_TRIM_THRESHOLD, 1 << 30),
        (libc::M_TOP_PAD, AHEAD as i32),
    ] {
        // SAFETY: it changes a number under the allocator's own lock.
        unsafe { libc::mallopt(option, bytes) };
    }
}

/// Bytes that the heap grows by at least, and from which an allocation is a mapping of its own.
#[cfg(target_os = "linux")]
const AHEAD: usize = 32 << 20;
