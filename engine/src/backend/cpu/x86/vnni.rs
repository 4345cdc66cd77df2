//! Integer products of few rows with AVX-512. The activations' 16-bit codes are split into two 8-bit digits, so that
//! weights are multiplied as packed bytes, four to a lane, without being widened. Decoding reads every weight once per
//! token, and only without the widening does one thread keep up with the memory.

use std::arch::x86_64::*;

use super::lanes::Avx512;
use super::packed_tile::PackedTile;
use crate::backend::cpu::operands::activations_q16::{Activations, Digits};

// The methods lack `#[target_feature]` because they are inlined into functions that have it.
impl<const BITS: u8> PackedTile<'_, BITS> {
    /// See [`super::lanes::Lanes::dots`].
    #[inline(always)]
    pub unsafe fn dots_by_digits<const N: usize>(&self, x: &Activations, block: usize) -> [__m512i; N] {
        // SAFETY: the caller's.
        unsafe {
            let quads = self.quads::<Avx512>(block);
            let mut dots = [_mm512_setzero_si512(); N];
            for n in 0..N {
                let at = block * N + n;
                let Digits { high, low } = x.digits.get_unchecked(at);
                let mut highs = _mm512_setzero_si512();
                let mut lows = _mm512_set1_epi32(self.start(x, at));
                for quad in 0..8 {
                    highs = _mm512_dpbusd_epi32(highs, quads[quad], four(high, quad));
                    lows = _mm512_dpbusd_epi32(lows, quads[quad], four(low, quad));
                }
                dots[n] = _mm512_add_epi32(_mm512_slli_epi32::<8>(highs), lows);
            }
            dots
        }
    }
}

/// Four digits for every lane.
#[inline(always)]
unsafe fn four(digits: &[i8; 32], quad: usize) -> __m512i {
    // SAFETY: four of 32 bytes; the caller's instructions.
    unsafe { _mm512_set1_epi32(digits.as_ptr().add(4 * quad).cast::<i32>().read_unaligned()) }
}
