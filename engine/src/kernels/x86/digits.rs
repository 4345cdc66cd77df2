//! Integer products of few rows with AVX-512: the activations' codes as two 8-bit digits, so that weights are
//! multiplied as bytes, the way they lie, four to a lane. A decoded token reads every weight once, and what is
//! saved in taking them apart is what lets one thread keep up with the memory.

use std::arch::x86_64::*;

use super::weights::Weights;
use crate::kernels::activations::{Activations, Digits};
use crate::quant::TILE;

// The methods are inlined into functions that have the instructions; that is why they lack the attribute.
impl<const BITS: u8> Weights<'_, BITS> {
    /// See [`super::lanes::Lanes::dots`].
    #[inline(always)]
    pub unsafe fn dots_by_digits<const N: usize>(&self, x: &Activations, block: usize) -> [[__m512i; N]; 2] {
        // SAFETY: the caller's.
        unsafe {
            let quads = self.quads(block);
            let mut dots = [[_mm512_setzero_si512(); N]; 2];
            for group in 0..Self::GROUPS {
                for n in 0..N {
                    let at = block * N + n;
                    let Digits { high, low } = x.digits.get_unchecked(at);
                    let mut highs = _mm512_setzero_si512();
                    let mut lows = _mm512_set1_epi32(self.start(x, at, group));
                    for quad in 8 * group / Self::GROUPS..8 * (group + 1) / Self::GROUPS {
                        highs = _mm512_dpbusd_epi32(highs, quads[quad], four(high, quad));
                        lows = _mm512_dpbusd_epi32(lows, quads[quad], four(low, quad));
                    }
                    dots[group][n] = _mm512_add_epi32(_mm512_slli_epi32::<8>(highs), lows);
                }
            }
            dots
        }
    }

    /// The codes of a block: vector `quad` holds columns `4 quad .. 4 quad + 4`.
    #[inline(always)]
    unsafe fn quads(&self, block: usize) -> [__m512i; 8] {
        // SAFETY: the caller's: 16 words of this tile's planes at a time.
        unsafe {
            let words = |plane: &[u32], index: usize| {
                debug_assert!((index + 1) * TILE <= plane.len());
                _mm512_loadu_si512(plane.as_ptr().add(index * TILE).cast())
            };
            let mut quads = [_mm512_setzero_si512(); 8];
            if BITS == 8 {
                for (quad, codes) in quads.iter_mut().enumerate() {
                    *codes = words(self.codes, block * 8 + quad);
                }
                return quads;
            }
            let nibble = _mm512_set1_epi8(15);
            for eight in 0..4 {
                let word = words(self.codes, block * 4 + eight);
                quads[2 * eight] = _mm512_and_si512(word, nibble);
                quads[2 * eight + 1] = _mm512_and_si512(_mm512_srli_epi16::<4>(word), nibble);
            }
            if BITS == 4 {
                return quads;
            }
            for (quad, codes) in quads.iter_mut().enumerate() {
                // The quad's bits go from place `from` of their byte to place 4.
                let (mask, from, word) = match BITS {
                    5 => (0x10, quad as i32, words(self.high, block)),
                    _ => (0x30, 2 * (quad % 4) as i32, words(self.high, block * 2 + quad / 4)),
                };
                let high = match from {
                    ..4 => _mm512_sll_epi16(word, _mm_cvtsi32_si128(4 - from)),
                    _ => _mm512_srl_epi16(word, _mm_cvtsi32_si128(from - 4)),
                };
                *codes = _mm512_or_si512(*codes, _mm512_and_si512(high, _mm512_set1_epi8(mask)));
            }
            quads
        }
    }
}

/// Four digits for every lane.
#[inline(always)]
unsafe fn four(digits: &[i8; 32], quad: usize) -> __m512i {
    // SAFETY: four of 32 bytes; the caller's instructions.
    unsafe { _mm512_set1_epi32(digits.as_ptr().add(4 * quad).cast::<i32>().read_unaligned()) }
}
