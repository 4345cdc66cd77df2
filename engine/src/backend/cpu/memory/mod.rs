//! Memory that kernels share: packed weights in huge pages, slices that threads fill in parts, the heap.

pub(crate) mod heap;
pub(crate) mod shared_slice;
pub(crate) mod weight_memory;
