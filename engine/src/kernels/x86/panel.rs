//! The inner loop of f32 products.

use super::lanes::{Avx2, Lanes};
use crate::kernels::panel::Sums;

/// See [`crate::kernels::panel::product`]. (The compiler's own vectors load the panel again for every row.)
///
/// # Safety
/// AVX2 and FMA; `len` values `step` apart from each of `a`, and 16 values `stride` apart from `b`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn product<const N: usize>(
    len: usize,
    (a, step): ([*const f32; N], usize),
    (b, stride): (*const f32, usize),
    mut sums: [Sums; N],
) -> [Sums; N] {
    // SAFETY: the caller's; 16 places of each row of sums.
    unsafe {
        let mut lanes: [_; N] = std::array::from_fn(|n| Avx2::load_floats(sums[n].as_ptr()));
        for k in 0..len {
            let b = Avx2::load_floats(b.add(k * stride));
            for n in 0..N {
                lanes[n] = Avx2::fma(Avx2::splat_float(*a[n].add(k * step)), b, lanes[n]);
            }
        }
        for n in 0..N {
            Avx2::store_floats(sums[n].as_mut_ptr(), lanes[n]);
        }
    }
    sums
}
