//! Dot products of vectors in 8 bits. This is the only file of this crate with CPU kernels; each is
//! compared with the scalar one, which is their definition.
//!
//! Codes lie in `[-127, 127]`: -128 is not used, so that its absolute value is never needed and two
//! products fit a 16-bit sum.

use std::sync::LazyLock;

/// The dot products of one kind of machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// The dot product of two vectors; of what both have, if their lengths differ.
    pub dot: fn(&[i8], &[i8]) -> i32,
    /// The dot products of a vector with the rows of a matrix, as many as `out` has. Rows that the matrix
    /// does not have are left as they are.
    pub dots: fn(&[i8], &[i8], &mut [i32]),
    /// Its name, for tests.
    #[cfg_attr(not(test), expect(dead_code))]
    pub name: &'static str,
}

impl Kernel {
    /// The fastest that this machine has.
    pub fn best() -> Kernel {
        static BEST: LazyLock<Kernel> = LazyLock::new(|| *Kernel::all().last().unwrap_or(&SCALAR));
        *BEST
    }

    /// Those that this machine has, the fastest last.
    fn all() -> Vec<Kernel> {
        let mut all = vec![SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(x86::AVX2);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(x86::VNNI);
            }
        }
        all
    }
}

const SCALAR: Kernel = Kernel {
    dot: scalar,
    dots: |query, rows, out| {
        if !query.is_empty() {
            rows.chunks_exact(query.len()).zip(out).for_each(|(row, out)| *out = scalar(query, row));
        }
    },
    name: "scalar",
};

fn scalar(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, scalar};

    pub const AVX2: Kernel = Kernel {
        // SAFETY: `Kernel::all` gives this kernel out only where the machine has AVX2.
        dot: |a, b| unsafe { avx2_dot(a, b) },
        // SAFETY: the same.
        dots: |query, rows, out| unsafe { avx2_dots(query, rows, out) },
        name: "avx2",
    };

    pub const VNNI: Kernel = Kernel {
        // SAFETY: `Kernel::all` gives this kernel out only where the machine has AVX-512 F, BW and VNNI.
        dot: |a, b| unsafe { vnni_dot(a, b) },
        // SAFETY: the same.
        dots: |query, rows, out| unsafe { vnni_dots(query, rows, out) },
        name: "avx512vnni",
    };

    /// # Safety
    /// The machine must have AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2_dots(query: &[i8], rows: &[i8], out: &mut [i32]) {
        if query.is_empty() {
            return;
        }
        for (row, out) in rows.chunks_exact(query.len()).zip(out) {
            // SAFETY: the caller has AVX2.
            *out = unsafe { avx2_dot(query, row) };
        }
    }

    /// # Safety
    /// The machine must have AVX2.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn avx2_dot(a: &[i8], b: &[i8]) -> i32 {
        let (a_blocks, b_blocks) = (a.as_chunks::<32>().0, b.as_chunks::<32>().0);
        let ones = _mm256_set1_epi16(1);
        let mut sums = [_mm256_setzero_si256(); 2];
        for (number, (a, b)) in a_blocks.iter().zip(b_blocks).enumerate() {
            // SAFETY: each block has the 32 bytes that are loaded, and loads may be unaligned.
            let (a, b) =
                unsafe { (_mm256_loadu_si256(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) };
            // |a| · (b with the sign of a): 127 · 127 · 2 fits 16 bits.
            let products = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            let products = _mm256_madd_epi16(products, ones);
            sums[number % 2] = _mm256_add_epi32(sums[number % 2], products);
        }
        let sum = _mm256_add_epi32(sums[0], sums[1]);
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
        _mm_cvtsi128_si32(sum) + rest(32, a, b)
    }

    /// # Safety
    /// The machine must have AVX-512 F, BW and VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn vnni_dots(query: &[i8], rows: &[i8], out: &mut [i32]) {
        if query.is_empty() {
            return;
        }
        for (row, out) in rows.chunks_exact(query.len()).zip(out) {
            // SAFETY: the caller has what is needed.
            *out = unsafe { vnni_dot(query, row) };
        }
    }

    /// # Safety
    /// The machine must have AVX-512 F, BW and VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    unsafe fn vnni_dot(a: &[i8], b: &[i8]) -> i32 {
        let (a_blocks, b_blocks) = (a.as_chunks::<64>().0, b.as_chunks::<64>().0);
        let offset = _mm512_set1_epi8(-128); // flips the sign bit: a + 128 without a sign
        let (mut shifted, mut sum_of_b) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            // SAFETY: each block has the 64 bytes that are loaded, and loads may be unaligned.
            let (a, b) =
                unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
            // The instruction wants its first factor without a sign: a · b = (a + 128) · b - 128 · b.
            shifted = _mm512_dpbusd_epi32(shifted, _mm512_xor_si512(a, offset), b);
            sum_of_b = _mm512_dpbusd_epi32(sum_of_b, _mm512_set1_epi8(1), b);
        }
        _mm512_reduce_add_epi32(shifted) - 128 * _mm512_reduce_add_epi32(sum_of_b) + rest(64, a, b)
    }

    /// What the blocks of `size` leave over; of what both vectors have, if their lengths differ.
    fn rest(size: usize, a: &[i8], b: &[i8]) -> i32 {
        let done = a.len().min(b.len()) / size * size;
        scalar(a.get(done..).unwrap_or_default(), b.get(done..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<i8>> {
        prop::collection::vec(prop_oneof![-127i8..=127, Just(127), Just(-127)], length)
    }

    proptest! {
        #[test]
        fn every_kernel_of_this_machine_gives_the_scalar_one_s_sums(a in codes(0..600), b in codes(0..600)) {
            for kernel in Kernel::all() {
                prop_assert_eq!((kernel.dot)(&a, &b), scalar(&a, &b), "{}", kernel.name);
            }
        }

        #[test]
        fn a_matrix_is_multiplied_row_by_row(query in codes(1..150), rows in codes(0..2000)) {
            let count = rows.len() / query.len();
            for kernel in Kernel::all() {
                let mut sums = vec![-1; count + 1];
                (kernel.dots)(&query, &rows, &mut sums);
                let expected: Vec<i32> = rows.chunks_exact(query.len()).map(|row| scalar(&query, row)).collect();
                prop_assert_eq!(&sums[..count], expected, "{}", kernel.name);
                prop_assert_eq!(sums[count], -1);
            }
        }
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        let (most, least) = ([127i8; 4096], [-127i8; 4096]);
        for kernel in Kernel::all() {
            assert_eq!((kernel.dot)(&most, &most), 127 * 127 * 4096, "{}", kernel.name);
            assert_eq!((kernel.dot)(&most, &least), -127 * 127 * 4096, "{}", kernel.name);
        }
    }
}
