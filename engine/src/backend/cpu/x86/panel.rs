//! The inner loop of f32 products, and the conversion of f16 panels to f32.

use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};

use half::f16;

use super::lanes::{Avx2, Lanes};

use crate::backend::cpu::threads::prefetch::{Cache, prefetch};

/// See [`crate::backend::cpu::dense::panel::product`]. (The compiler's vectorization would load the panel again for every row.)
///
/// # Safety
/// AVX2 and FMA; `len` values `step` apart from each of `a`, and 16 values `stride` apart from `b`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn product<const N: usize>(
    len: usize,
    (a, step): ([*const f32; N], usize),
    (b, stride): (*const f32, usize),
    mut sums: [[f32; 16]; N],
) -> [[f32; 16]; N] {
    // SAFETY: the caller's; 16 places of each row of sums.
    unsafe {
        let mut lanes = [Avx2::splat_float(0.0); N];
        for n in 0..N {
            lanes[n] = Avx2::load_floats(sums[n].as_ptr());
        }
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

/// f16 to f32, while `next` is prefetched: the hardware does not foresee the step from one block of the key/value cache to
/// another.
///
/// # Safety
/// AVX and F16C.
///
/// # Panics
/// If the slices are not of one length.
#[inline]
#[target_feature(enable = "avx,f16c")]
pub(crate) unsafe fn widen(from: &[f16], next: &[f16], to: &mut [f32]) {
    assert!(from.len() == to.len() && from.len() == next.len());
    let ((from, rest), (to, rest_to)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (i, (from, to)) in from.iter().zip(to).enumerate() {
        // SAFETY: 8 values each.
        unsafe {
            if i % 4 == 0 {
                prefetch(Cache::Second, next.as_ptr().wrapping_add(8 * i).addr());
            }
            _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())));
        }
    }
    rest.iter().zip(rest_to).for_each(|(from, to)| *to = from.to_f32());
}
