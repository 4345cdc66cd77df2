//! The inner loop of f32 products.

use std::arch::x86_64::*;

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
        let mut lanes: [[__m256; 2]; N] = std::array::from_fn(|n| {
            let sums = sums[n].as_ptr();
            [_mm256_loadu_ps(sums), _mm256_loadu_ps(sums.add(8))]
        });
        for k in 0..len {
            let b = b.add(k * stride);
            let (low, high) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
            for n in 0..N {
                let a = _mm256_set1_ps(*a[n].add(k * step));
                lanes[n][0] = _mm256_fmadd_ps(a, low, lanes[n][0]);
                lanes[n][1] = _mm256_fmadd_ps(a, high, lanes[n][1]);
            }
        }
        for n in 0..N {
            let sums = sums[n].as_mut_ptr();
            _mm256_storeu_ps(sums, lanes[n][0]);
            _mm256_storeu_ps(sums.add(8), lanes[n][1]);
        }
    }
    sums
}
