//! Memory that tasks fill at the same time, each its own places, which lie interleaved, so that it cannot be split into
//! slices.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Places for values, written by several threads, each place by one.
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: it is only written through, and `write` asks that no two threads write the same place.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T: Copy> SharedSlice<'a, T> {
    /// The places of `values`.
    pub fn over(values: &'a mut [T]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), memory: PhantomData }
    }

    /// Places that hold nothing yet.
    pub fn new(values: &'a mut [MaybeUninit<T>]) -> Self {
        Self { start: values.as_mut_ptr().cast(), len: values.len(), memory: PhantomData }
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes `values` from place `at` on.
    ///
    /// # Safety
    /// `at + values.len()` places exist, and no other thread writes them.
    #[inline(always)]
    pub unsafe fn write(&self, at: usize, values: &[T]) {
        debug_assert!(at + values.len() <= self.len, "{at} + {} of {}", values.len(), self.len);
        // SAFETY: the caller's.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len()) };
    }

    /// The places `at .. at + len`, which hold values.
    ///
    /// # Safety
    /// They exist, and nobody else reads or writes them while the slice lives.
    #[allow(clippy::mut_from_ref)] // as those of a cell
    #[inline(always)]
    pub unsafe fn part(&self, at: usize, len: usize) -> &mut [T] {
        debug_assert!(at + len <= self.len, "{at} + {len} of {}", self.len);
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }

    /// The places `at .. at + len`, cleared: by the thread that fills them, while they are in its cache.
    ///
    /// # Safety
    /// They exist, and nobody else reads or writes them while the slice lives.
    #[allow(clippy::mut_from_ref)] // as those of a cell
    pub unsafe fn cleared(&self, at: usize, len: usize) -> &mut [T]
    where
        T: Default,
    {
        debug_assert!(at + len <= self.len, "{at} + {len} of {}", self.len);
        // SAFETY: the caller's; a slice of places that hold values.
        unsafe {
            let places = std::slice::from_raw_parts_mut(self.start.add(at).cast::<MaybeUninit<T>>(), len);
            places.fill(MaybeUninit::new(T::default()));
            std::slice::from_raw_parts_mut(self.start.add(at), len)
        }
    }
}

/// Memory that a speculative job owns: its tasks fill it, and its caller reads a task's part when that is done.
pub(crate) struct Scratch {
    values: UnsafeCell<Vec<f32>>, // their number is its capacity's; the length stays 0
}

// SAFETY: `place` asks what `SharedSlice::write` asks, `read` that the part was written before.
unsafe impl Sync for Scratch {}

impl Scratch {
    /// Room for `len` values.
    pub fn new(len: usize) -> Self {
        Self { values: Vec::with_capacity(len).into() }
    }

    /// Its places.
    pub fn place(&self) -> SharedSlice<'_, f32> {
        // SAFETY: nobody holds a reference to the vector, whose memory stays where it is.
        let values = unsafe { &*self.values.get() };
        SharedSlice { start: values.as_ptr().cast_mut(), len: values.capacity(), memory: PhantomData }
    }

    /// The values `at .. at + len`.
    ///
    /// # Safety
    /// They are written, before this call, and not written again.
    pub unsafe fn read(&self, at: usize, len: usize) -> &[f32] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts((*self.values.get()).as_ptr().add(at), len) }
    }
}
