//! Products with f32 weights in rows: blocks of 8 × 8 are transposed in registers on the way.

use std::arch::x86_64::*;

use super::lanes::{Avx512, Lanes};
use crate::backend::cpu::dense::panel::LANES;
use crate::backend::cpu::dense::weight_panel::{Panel, SEGMENT, STRIP};
use crate::backend::cpu::threads::prefetch::{Cache, prefetch};

/// How many columns ahead the rows of a strip are prefetched (at their end, the next strip's): eight streams are more than
/// some machines' hardware prefetchers follow.
const AHEAD: usize = 256;

/// Eight columns of eight rows, `stride` apart.
///
/// # Safety
/// AVX2; they exist.
#[inline(always)]
unsafe fn columns(rows: *const f32, stride: usize) -> [__m256; 8] {
    // SAFETY: the caller's.
    unsafe {
        // The rows i and i + 4, in halves: columns 0..4 and 4..8.
        let pair = |i: usize, column: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(rows.add(i * stride + column)));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(rows.add((i + 4) * stride + column)))
        };
        macro_rules! four {
            ($column:literal) => {{
                let [a, b, c, d] = [pair(0, $column), pair(1, $column), pair(2, $column), pair(3, $column)];
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                [
                    _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                    _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
                    _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
                    _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
                ]
            }};
        }
        let ([a, b, c, d], [e, f, g, h]) = (four!(0), four!(4));
        [a, b, c, d, e, f, g, h]
    }
}

/// One column of eight rows.
///
/// # Safety
/// As [`columns`].
#[inline(always)]
unsafe fn column(rows: *const f32, stride: usize) -> __m256 {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| *rows.add(i * stride));
        _mm256_setr_ps(a, b, c, d, e, f, g, h)
    }
}

/// `x · Wᵀ` for `N` rows of activations and the eight rows of `w`, which have `cols` columns.
///
/// # Safety
/// AVX2 and FMA; `cols` values of each of `x`, and eight times as many of `w`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn few_rows<const N: usize>(
    x: [*const f32; N],
    w: *const f32,
    cols: usize,
) -> [[f32; STRIP]; N] {
    // SAFETY: the caller's.
    unsafe {
        let mut totals = [_mm256_setzero_ps(); N];
        let mut at = 0;
        while at < cols {
            let end = cols.min(at + SEGMENT);
            let mut sums = [_mm256_setzero_ps(); N];
            while at + 8 <= end {
                if at.is_multiple_of(16) && cols >= AHEAD {
                    let ahead = at + AHEAD;
                    let next = if ahead < cols { ahead } else { ahead + (STRIP - 1) * cols };
                    for row in 0..STRIP {
                        prefetch(Cache::First, w.wrapping_add(row * cols + next).addr());
                    }
                }
                let w = columns(w.add(at), cols);
                for k in 0..8 {
                    for n in 0..N {
                        sums[n] = _mm256_fmadd_ps(_mm256_broadcast_ss(&*x[n].add(at + k)), w[k], sums[n]);
                    }
                }
                at += 8;
            }
            while at < end {
                let w = column(w.add(at), cols);
                for n in 0..N {
                    sums[n] = _mm256_fmadd_ps(_mm256_broadcast_ss(&*x[n].add(at)), w, sums[n]);
                }
                at += 1;
            }
            for n in 0..N {
                totals[n] = _mm256_add_ps(totals[n], sums[n]);
            }
        }
        let mut out = [[0f32; STRIP]; N];
        for n in 0..N {
            _mm256_storeu_ps(out[n].as_mut_ptr(), totals[n]);
        }
        out
    }
}

/// The first columns of 16 rows, `stride` apart, as the rows of a panel.
///
/// # Safety
/// AVX2; they exist.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn transpose(rows: *const f32, stride: usize, panel: &mut Panel) {
    // SAFETY: the caller's; 16 places in each row of the panel.
    unsafe {
        let blocks = panel.len() / 8 * 8;
        for at in (0..blocks).step_by(8) {
            for half in [0, 8] {
                let columns = columns(rows.add(half * stride + at), stride);
                for k in 0..8 {
                    _mm256_storeu_ps(panel[at + k].as_mut_ptr().add(half), columns[k]);
                }
            }
        }
        for at in blocks..panel.len() {
            for lane in 0..LANES {
                panel[at][lane] = *rows.add(lane * stride + at);
            }
        }
    }
}

/// See [`crate::backend::cpu::dense::weight_panel::add_segment`].
///
/// # Safety
/// The instructions of [`Avx512`]; values of each of `x` up to `first + panel.len()`; as many totals.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn add_segment_avx512(
    x: &[&[f32]],
    first: usize,
    panel: &Panel,
    totals: &mut [[f32; LANES]],
) {
    let mut done = 0;
    while done < x.len() {
        let (x, totals) = (&x[done..], &mut totals[done..]);
        // SAFETY: the caller's.
        done += unsafe {
            match x.len() {
                12.. => add_segment_to::<Avx512, 12>(x, first, panel, totals),
                8.. => add_segment_to::<Avx512, 8>(x, first, panel, totals),
                4.. => add_segment_to::<Avx512, 4>(x, first, panel, totals),
                2.. => add_segment_to::<Avx512, 2>(x, first, panel, totals),
                _ => add_segment_to::<Avx512, 1>(x, first, panel, totals),
            }
        };
    }
}

/// To the first `N` rows, which are returned.
///
/// # Safety
/// As [`add_segment_avx512`], with `N` rows.
#[inline(always)]
unsafe fn add_segment_to<L: Lanes, const N: usize>(
    x: &[&[f32]],
    first: usize,
    panel: &Panel,
    totals: &mut [[f32; LANES]],
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let rows: [*const f32; N] = std::array::from_fn(|n| x[n].as_ptr().add(first));
        let mut sums = [L::splat_float(0.0); N];
        for (k, weights) in panel.iter().enumerate() {
            let weights = L::load_floats(weights.as_ptr());
            for n in 0..N {
                sums[n] = L::fma(L::splat_float(*rows[n].add(k)), weights, sums[n]);
            }
        }
        for n in 0..N {
            // An addition, as a multiplication by 1: `Lanes` has no plain one.
            let total = L::fma(sums[n], L::splat_float(1.0), L::load_floats(totals[n].as_ptr()));
            L::store_floats(totals[n].as_mut_ptr(), total);
        }
    }
    N
}
