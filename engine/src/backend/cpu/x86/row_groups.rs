//! Rows of activations, as many at a time as their sums fit the registers.

use super::lanes::Lanes;

/// What is done with `N` rows, whose number the compiler knows.
///
/// # Safety
/// Of its method: the rows exist, and so do the instructions it uses.
pub(crate) trait ForRows {
    /// For the rows `first .. first + N`.
    unsafe fn rows<const N: usize>(&mut self, first: usize);
}

/// Does `step` with `count` rows.
///
/// # Safety
/// As the step's.
#[inline(always)]
pub(crate) unsafe fn by_rows<L: Lanes>(count: usize, step: &mut impl ForRows) {
    let mut first = 0;
    while first < count {
        let left = count - first;
        let rows = if left >= L::ROWS { L::ROWS } else { left.min(4) };
        // SAFETY: the caller's.
        unsafe {
            match rows {
                1 => step.rows::<1>(first),
                2 => step.rows::<2>(first),
                3 => step.rows::<3>(first),
                4 => step.rows::<4>(first),
                _ => step.rows::<8>(first),
            }
        }
        first += rows;
    }
}
