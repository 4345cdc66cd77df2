//! The memory of packed weights: every decoded token reads all of it.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use memmap2::{MmapOptions, MmapRaw};

/// Bytes of a region. Where memory counts when it is reserved, not when it is written, each matrix has a region
/// of its own.
const REGION: usize = if cfg!(target_os = "linux") { 256 << 20 } else { 0 };
/// Bytes of a cache line.
const LINE: usize = 64;

/// The region that has room, and how much of it is taken. Neighbouring matrices share huge pages, so nearly all
/// are in some: with pages of 4 KiB a token waits for their addresses. (The heap has a seam every few matrices, and
/// aligns them to 16 bytes, so that loads cross lines.)
static LAST: Mutex<(Weak<MmapRaw>, usize)> = Mutex::new((Weak::new(), 0));

/// A region of `bytes` or more, all zero.
fn region(bytes: usize) -> Option<MmapRaw> {
    let of = |bytes: usize| MmapOptions::new().len(bytes.max(1)).no_reserve_swap().map_anon();
    let map = of(bytes.max(REGION)).or_else(|_| of(bytes)).ok()?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage); // a system without any goes on with small ones
    Some(map.into())
}

/// The words of a matrix, from the start of a cache line.
pub(crate) struct WeightMemory {
    region: Arc<MmapRaw>,
    /// Of the region: these words' alone.
    bytes: Range<usize>,
}

/// `len` zeros. Too little memory ends the process, as it does in a `Vec`.
pub(crate) fn zeros(len: usize) -> WeightMemory {
    let layout = Layout::array::<u32>(len).expect("a matrix that fits the address space");
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (open, taken) = &mut *last;
    let room = open.upgrade().filter(|open| open.len() - *taken >= layout.size());
    let region = room.unwrap_or_else(|| {
        let new = Arc::new(region(layout.size()).unwrap_or_else(|| handle_alloc_error(layout)));
        (*open, *taken) = (Arc::downgrade(&new), 0);
        new
    });
    let bytes = *taken..*taken + layout.size();
    *taken = bytes.end.next_multiple_of(LINE).min(region.len());
    WeightMemory { region, bytes }
}

/// As a tensor's data, which stays where it is.
pub(crate) fn into_data(words: WeightMemory) -> TensorData {
    let shape = [words.len()];
    let bytes = Bytes::from_shared(::bytes::Bytes::from_owner(words), AllocationProperty::Native);
    TensorData::from_bytes(bytes, shape, DType::U32)
}

impl WeightMemory {
    fn start(&self) -> *mut u32 {
        self.region.as_mut_ptr().wrapping_add(self.bytes.start).cast()
    }
}

impl Deref for WeightMemory {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        // SAFETY: bytes of the region, which are written, begin a line and are these words' alone.
        unsafe { std::slice::from_raw_parts(self.start(), self.bytes.len() / 4) }
    }
}

impl DerefMut for WeightMemory {
    fn deref_mut(&mut self) -> &mut [u32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.bytes.len() / 4) }
    }
}

impl AsRef<[u8]> for WeightMemory {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl Drop for WeightMemory {
    /// Gives the huge pages back that held nothing else; the rest goes with the region.
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        {
            const HUGE: usize = 2 << 20;
            let first = self.start().addr().next_multiple_of(HUGE);
            let end = (self.start().addr() + self.bytes.len()) / HUGE * HUGE;
            if first < end {
                let pages = self.start().with_addr(first).cast();
                // SAFETY: pages of these words alone, which nobody reads or writes any more.
                unsafe { libc::madvise(pages, end - first, libc::MADV_DONTNEED) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_zeros_of_their_own() {
        let mut all: Vec<WeightMemory> = [3, 0, 16, 17, 5 << 18, 1].map(zeros).into();
        for (number, words) in all.iter_mut().enumerate() {
            assert!(words.iter().all(|word| *word == 0) && words.as_ptr().addr().is_multiple_of(LINE));
            words.fill(number as u32 + 1);
        }
        all.swap_remove(4); // its pages go back, its neighbours stay
        let numbers = all.iter().map(|words| words.first().copied().unwrap_or_default());
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 0, 3, 4, 6]);
        assert!(all.iter().all(|words| words.iter().all(|word| *word == words[0])));
    }

    #[test]
    fn a_matrix_larger_than_a_region_has_one_of_its_own() {
        let mut words = zeros(REGION / 4 + 1000);
        let last = words.len() - 1;
        words[last] = 7;
        assert_eq!((words[0], words[last]), (0, 7));
    }

    #[test]
    fn a_tensor_shares_the_words() {
        let mut words = zeros(40);
        words[39] = 9;
        let address = words.as_ptr().addr();
        let data = into_data(words);
        let found = data.as_slice::<u32>().unwrap();
        assert_eq!((found.as_ptr().addr(), found.len(), found[39]), (address, 40, 9));
    }
}
