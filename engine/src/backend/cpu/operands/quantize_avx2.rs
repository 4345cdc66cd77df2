//! Rounding activations.

use std::arch::x86_64::*;

use crate::backend::cpu::operands::activations_q16::BLOCK_COLUMNS;

/// As the portable [`crate::backend::cpu::operands::activations_q16::quantize_block`], bit for bit.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn quantize_block(
    x: &[f32; BLOCK_COLUMNS],
    inverse: f32,
    codes: &mut [i16; BLOCK_COLUMNS],
) -> i32 {
    // SAFETY: four times 8 of 32 values; twice 16 of 32 codes.
    unsafe {
        let load = |at: usize| _mm256_loadu_ps(x.as_ptr().add(8 * at));
        let eights = [load(0), load(1), load(2), load(3)];
        let inverse = _mm256_set1_ps(inverse);
        let ones = _mm256_set1_epi16(1);
        // Bytes of the quad's codes 0, 2, 1, 3.
        let quad =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
        let mut sums = _mm256_setzero_si256();
        for half in 0..2 {
            let low = _mm256_cvtps_epi32(_mm256_mul_ps(eights[2 * half], inverse));
            let high = _mm256_cvtps_epi32(_mm256_mul_ps(eights[2 * half + 1], inverse));
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let place = codes.as_mut_ptr().add(16 * half).cast();
            _mm256_storeu_si256(place, _mm256_shuffle_epi8(packed, quad));
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(packed, ones));
        }
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
        _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_shuffle_epi32::<1>(sums)))
    }
}
