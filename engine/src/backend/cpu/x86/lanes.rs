//! The instruction sets, as far as products need them: 16 lanes, one for each row of a tile.

use std::arch::x86_64::*;

use super::packed_tile::PackedTile;
use crate::backend::cpu::operands::activations_q16::Activations;

/// Operations on 16 lanes.
///
/// The methods lack `#[target_feature]` because they are inlined into functions that have it.
///
/// # Safety
/// Of every method: the machine has the instructions; pointers lead to 16 values.
pub(crate) trait Lanes {
    /// 16 integers of 32 bits, or 16 pairs of 16 bits.
    type Ints: Copy;
    /// 16 f32.
    type Floats: Copy;
    /// Rows of activations whose integer sums fit the registers: 4 or 8.
    const ROWS: usize;

    unsafe fn load(words: *const u32) -> Self::Ints;
    unsafe fn store(words: *mut u32, a: Self::Ints);
    unsafe fn splat(word: i32) -> Self::Ints;
    unsafe fn and(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    unsafe fn or(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// `a − b` in halves of 16 bits.
    unsafe fn sub16(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Halves of 16 bits, shifted to the left.
    unsafe fn left16(a: Self::Ints, bits: i32) -> Self::Ints;
    /// Halves of 16 bits, shifted to the right without their sign.
    unsafe fn right16(a: Self::Ints, bits: i32) -> Self::Ints;
    /// `sum + a₀ b₀ + a₁ b₁`, where a lane of `a` and `b` is a pair of 16 bits.
    unsafe fn dot(sum: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Shifted to the right without the sign.
    unsafe fn right32(a: Self::Ints, bits: i32) -> Self::Ints;
    /// One byte of every lane, with its sign.
    unsafe fn signed_byte(a: Self::Ints, byte: i32) -> Self::Ints;
    unsafe fn floats(a: Self::Ints) -> Self::Floats;
    /// The integer sums of a block for all `N` rows of activations: the weights are decoded on the way.
    unsafe fn dots<const BITS: u8, const N: usize>(
        weights: &PackedTile<BITS>,
        x: &Activations,
        block: usize,
    ) -> [Self::Ints; N];

    /// `starts + Σ codes · activations` for `N` rows: quads of four codes of `BITS` bits to a lane, and four signed
    /// bytes of each row for all lanes.
    unsafe fn dot_quads<const BITS: u8, const N: usize>(
        starts: [Self::Ints; N],
        quads: &[Self::Ints],
        x: [*const i32; N],
    ) -> [Self::Ints; N];

    /// 16 f16 from 8 words.
    unsafe fn halves(words: *const u32) -> Self::Floats;
    /// The low and the high f16 of 16 words.
    unsafe fn pairs_of_halves(words: *const u32) -> (Self::Floats, Self::Floats);
    unsafe fn load_floats(values: *const f32) -> Self::Floats;
    unsafe fn store_floats(values: *mut f32, a: Self::Floats);
    unsafe fn splat_float(value: f32) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c` in one rounding.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
}

/// Two registers of 8 lanes. AVX2, FMA and F16C.
pub(crate) struct Avx2;

/// One register. AVX-512 F, BW, VL and VNNI, and what [`Avx2`] needs.
pub(crate) struct Avx512;

/// Methods of [`Lanes`], each one expression.
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the caller's.
            unsafe { $body }
        }
    )*};
}

/// The body for each half. (Not a closure in `map`: that is a function without `#[target_feature]`, and where the compiler
/// did not inline it, decoding took four times as long.)
macro_rules! both {
    ($half:ident in $value:expr => $body:expr) => {{
        let [low, high] = $value;
        [
            {
                let $half = low;
                $body
            },
            {
                let $half = high;
                $body
            },
        ]
    }};
}

impl Lanes for Avx2 {
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn dots<const BITS: u8, const N: usize>(
        weights: &PackedTile<BITS>,
        x: &Activations,
        block: usize,
    ) -> [Self::Ints; N] {
        // SAFETY: the caller's.
        unsafe { weights.dots_by_pairs::<Self, N>(x, block) }
    }

    /// Products are added in 16 bits, as many as fit.
    #[inline(always)]
    unsafe fn dot_quads<const BITS: u8, const N: usize>(
        starts: [Self::Ints; N],
        quads: &[Self::Ints],
        x: [*const i32; N],
    ) -> [Self::Ints; N] {
        let fit = if BITS == 4 { 8 } else { 8 >> (BITS - 4) }; // 2 · fit · (2^BITS - 1) · 127 < 2¹⁵
        // SAFETY: the caller's.
        unsafe {
            let mut sums = starts;
            for first in (0..quads.len()).step_by(fit) {
                let mut pairs = [[_mm256_setzero_si256(); 2]; N];
                // `black_box` keeps this a loop: unrolled, it needs more registers than there are, and spills.
                for quad in first..std::hint::black_box(quads.len().min(first + fit)) {
                    let [low, high] = quads[quad];
                    for n in 0..N {
                        let four = _mm256_set1_epi32(x[n].add(quad).read_unaligned());
                        let [a, b] = pairs[n];
                        pairs[n] = [
                            _mm256_add_epi16(a, _mm256_maddubs_epi16(low, four)),
                            _mm256_add_epi16(b, _mm256_maddubs_epi16(high, four)),
                        ];
                    }
                }
                for n in 0..N {
                    sums[n] = Self::dot(sums[n], pairs[n], [_mm256_set1_epi16(1); 2]);
                }
            }
            sums
        }
    }

    methods! {
        load(words: *const u32) -> Self::Ints =
            [_mm256_loadu_si256(words.cast()), _mm256_loadu_si256(words.add(8).cast())];
        store(words: *mut u32, a: Self::Ints) = {
            _mm256_storeu_si256(words.cast(), a[0]);
            _mm256_storeu_si256(words.add(8).cast(), a[1]);
        };
        splat(word: i32) -> Self::Ints = [_mm256_set1_epi32(word); 2];
        and(a: Self::Ints, b: Self::Ints) -> Self::Ints =
            [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])];
        or(a: Self::Ints, b: Self::Ints) -> Self::Ints =
            [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])];
        sub16(a: Self::Ints, b: Self::Ints) -> Self::Ints =
            [_mm256_sub_epi16(a[0], b[0]), _mm256_sub_epi16(a[1], b[1])];
        left16(a: Self::Ints, bits: i32) -> Self::Ints = both!(a in a => _mm256_sll_epi16(a, _mm_cvtsi32_si128(bits)));
        right16(a: Self::Ints, bits: i32) -> Self::Ints = both!(a in a => _mm256_srl_epi16(a, _mm_cvtsi32_si128(bits)));
        dot(sum: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints = [
            _mm256_add_epi32(sum[0], _mm256_madd_epi16(a[0], b[0])),
            _mm256_add_epi32(sum[1], _mm256_madd_epi16(a[1], b[1])),
        ];
        right32(a: Self::Ints, bits: i32) -> Self::Ints = both!(a in a => _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits)));
        signed_byte(a: Self::Ints, byte: i32) -> Self::Ints =
            both!(a in a => _mm256_srai_epi32::<24>(_mm256_sll_epi32(a, _mm_cvtsi32_si128(24 - 8 * byte))));
        halves(words: *const u32) -> Self::Floats =
            both!(half in [words, words.add(4)] => _mm256_cvtph_ps(_mm_loadu_si128(half.cast())));
        pairs_of_halves(words: *const u32) -> (Self::Floats, Self::Floats) = {
            let [(a, c), (b, d)] = both!(words in Self::load(words) => {
                let low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
                let packed = _mm256_packus_epi32(low, _mm256_srli_epi32::<16>(words));
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
                let high = _mm256_extracti128_si256::<1>(packed);
                (_mm256_cvtph_ps(_mm256_castsi256_si128(packed)), _mm256_cvtph_ps(high))
            });
            ([a, b], [c, d])
        };
        floats(a: Self::Ints) -> Self::Floats = both!(a in a => _mm256_cvtepi32_ps(a));
        load_floats(values: *const f32) -> Self::Floats =
            [_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))];
        store_floats(values: *mut f32, a: Self::Floats) = {
            _mm256_storeu_ps(values, a[0]);
            _mm256_storeu_ps(values.add(8), a[1]);
        };
        splat_float(value: f32) -> Self::Floats = [_mm256_set1_ps(value); 2];
        mul(a: Self::Floats, b: Self::Floats) -> Self::Floats =
            [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])];
        fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats =
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])];
    }
}

impl Lanes for Avx512 {
    type Ints = __m512i;
    type Floats = __m512;
    const ROWS: usize = 8;

    #[inline(always)]
    unsafe fn dots<const BITS: u8, const N: usize>(
        weights: &PackedTile<BITS>,
        x: &Activations,
        block: usize,
    ) -> [Self::Ints; N] {
        // SAFETY: the caller's; where there are few rows, they have digits.
        unsafe { weights.dots_by_digits::<N>(x, block) }
    }

    #[inline(always)]
    unsafe fn dot_quads<const BITS: u8, const N: usize>(
        starts: [Self::Ints; N],
        quads: &[Self::Ints],
        x: [*const i32; N],
    ) -> [Self::Ints; N] {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = starts;
            for (quad, codes) in quads.iter().enumerate() {
                for n in 0..N {
                    let four = _mm512_set1_epi32(x[n].add(quad).read_unaligned());
                    sums[n] = _mm512_dpbusd_epi32(sums[n], *codes, four);
                }
            }
            sums
        }
    }

    methods! {
        load(words: *const u32) -> __m512i = _mm512_loadu_si512(words.cast());
        store(words: *mut u32, a: __m512i) = _mm512_storeu_si512(words.cast(), a);
        splat(word: i32) -> __m512i = _mm512_set1_epi32(word);
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        sub16(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi16(a, b);
        left16(a: __m512i, bits: i32) -> __m512i = _mm512_sll_epi16(a, _mm_cvtsi32_si128(bits));
        right16(a: __m512i, bits: i32) -> __m512i = _mm512_srl_epi16(a, _mm_cvtsi32_si128(bits));
        dot(sum: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpwssd_epi32(sum, a, b);
        right32(a: __m512i, bits: i32) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits));
        signed_byte(a: __m512i, byte: i32) -> __m512i =
            _mm512_srai_epi32::<24>(_mm512_sll_epi32(a, _mm_cvtsi32_si128(24 - 8 * byte)));
        halves(words: *const u32) -> __m512 = _mm512_cvtph_ps(_mm256_loadu_si256(words.cast()));
        pairs_of_halves(words: *const u32) -> (__m512, __m512) = {
            let words = _mm512_loadu_si512(words.cast());
            let high = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(words));
            (_mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)), _mm512_cvtph_ps(high))
        };
        floats(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        load_floats(values: *const f32) -> __m512 = _mm512_loadu_ps(values);
        store_floats(values: *mut f32, a: __m512) = _mm512_storeu_ps(values, a);
        splat_float(value: f32) -> __m512 = _mm512_set1_ps(value);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
    }
}
