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

/// Zeros for weights, in huge pages where the system has some to give: decoding reads every weight once a
/// token, and with pages of 4 KiB it waits for their addresses.
pub(crate) fn zeros(len: usize) -> Vec<u32> {
    let mut words: Vec<u32> = Vec::with_capacity(len);
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let start = words.as_ptr().addr() / HUGE * HUGE;
        // What comes next too: a page that the allocator writes its notes to before it is asked for is lost.
        // (A matrix above the threshold has a mapping of its own, and what follows is not the heap's.)
        let bytes = if 4 * len < AHEAD { 4 * len + AHEAD } else { 4 * len };
        // SAFETY: the advice changes no memory; where nothing is mapped it is not taken.
        unsafe { libc::madvise(std::ptr::without_provenance_mut(start), bytes, libc::MADV_HUGEPAGE) };
    }
    words.resize(len, 0);
    words
}

/// Bytes that the heap grows by at least, and from which an allocation is a mapping of its own.
#[cfg(target_os = "linux")]
const AHEAD: usize = 32 << 20;
