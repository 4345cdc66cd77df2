//! Integer products: each step adds to a row's sum the products of two of its weights with two activations.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::lanes::{Avx2, Avx512, Lanes};
use super::packed_tile::{DecodedScales, PackedTile, STRETCH, two};
use super::row_groups::{ForRows, by_rows};
use crate::backend::cpu::instructions::{has_avx2, has_avx512};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q16::{Activations, FEW};
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::backend::cpu::operands::{Kernel, assert_sizes};
use crate::backend::cpu::threads::prefetch::{Cache, prefetch};
use crate::quant::TILE;
use crate::quant::formats::ScaleKind;

/// Rows of activations for which a block of weights is decoded once: their sums and their codes of the block fit the
/// level-1 cache.
pub(crate) const CHUNK: usize = 128;
/// How many blocks ahead codes are prefetched in products of many rows, about 10 KiB. They go to the level-2 cache,
/// because level 1 can have too few loads under way. Products of few rows need no prefetch: they read so fast that the
/// hardware detects the stream.
pub(crate) const AHEAD: usize = 40;

/// The products that the machine has the instructions for, the best first.
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    let kernels = [(has_avx512(), by_avx512 as Kernel), (has_avx2(), by_avx2)];
    kernels.into_iter().filter_map(|(has, kernel)| has.then_some(kernel))
}

/// A [`Kernel`].
///
/// # Safety
/// As a [`Kernel`]'s, and the instructions of [`Avx512`].
unsafe fn by_avx512(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    assert_bounds(offsets, words, &tiles, x, y);
    // SAFETY: the caller's; the bounds are asserted.
    unsafe { with_avx512(offsets, words, tiles, x, y) };
}

/// A [`Kernel`].
///
/// # Safety
/// As a [`Kernel`]'s, and the instructions of [`Avx2`].
unsafe fn by_avx2(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    assert_bounds(offsets, words, &tiles, x, y);
    // SAFETY: the caller's; the bounds are asserted.
    unsafe { with_avx2(offsets, words, tiles, x, y) };
}

/// What the pointers of a kernel stay within.
fn assert_bounds(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: &Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    assert_sizes(offsets, words, tiles, x, y);
    let digits = !offsets.layout().format().has_super_blocks() && x.tokens <= FEW;
    assert!(!digits || x.digits.len() == x.totals.len());
}

/// # Safety
/// The instructions of [`Avx512`], and what [`assert_bounds`] asserts.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn with_avx512(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    // SAFETY: the caller's.
    unsafe { run::<Avx512>(offsets, words, tiles, x, y) };
}

/// # Safety
/// The instructions of [`Avx2`], and what [`assert_bounds`] asserts.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    // SAFETY: the caller's.
    unsafe { run::<Avx2>(offsets, words, tiles, x, y) };
}

/// Some tiles, all rows of activations.
#[inline(always)]
unsafe fn run<L: Lanes>(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    use ScaleKind::{Half, SignedBytes, SixBitPairs};
    let (kind, bits) = (offsets.layout().format().scale_kind(), offsets.layout().format().code_bits());
    for tile in tiles {
        // SAFETY: the caller's.
        unsafe {
            match (kind, bits) {
                (SixBitPairs, 4) => {
                    let weights = PackedTile::<4>::new(offsets, words, tile, SixBitPairs);
                    weights.multiply_super::<L>(x.tokens, &x.q8, y);
                }
                (SixBitPairs, _) => {
                    let weights = PackedTile::<5>::new(offsets, words, tile, SixBitPairs);
                    weights.multiply_super::<L>(x.tokens, &x.q8, y);
                }
                (SignedBytes, _) => {
                    let weights = PackedTile::<6>::new(offsets, words, tile, SignedBytes);
                    weights.multiply_super::<L>(x.tokens, &x.q8, y);
                }
                (Half, 8) => PackedTile::<8>::new(offsets, words, tile, Half).multiply::<L>(x, y),
                (_, 5) => PackedTile::<5>::new(offsets, words, tile, kind).multiply::<L>(x, y),
                _ => PackedTile::<4>::new(offsets, words, tile, kind).multiply::<L>(x, y),
            }
        }
    }
}

impl<const BITS: u8> PackedTile<'_, BITS> {
    /// The outputs of the tile for all rows of activations.
    #[inline(always)]
    unsafe fn multiply<L: Lanes>(&self, x: &Activations, y: &SharedSlice<f32>) {
        // SAFETY: the caller's; the rows given are those of `x`.
        unsafe {
            match x.tokens {
                1 => self.few::<L, 1>(x, y),
                2 => self.few::<L, 2>(x, y),
                3 => self.few::<L, 3>(x, y),
                tokens => {
                    for first in (0..tokens).step_by(CHUNK) {
                        self.many::<L>(x, first, CHUNK.min(tokens - first), y);
                    }
                }
            }
        }
    }

    /// All `N` rows of activations: the weights are decoded on the way.
    #[inline(always)]
    unsafe fn few<L: Lanes, const N: usize>(&self, x: &Activations, y: &SharedSlice<f32>) {
        // SAFETY: blocks and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [L::splat_float(0.0); N];
            let mut scales = MaybeUninit::<DecodedScales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales::<L>(self.stretch(block), scales);
                }
                let dots = L::dots::<BITS, N>(self, x, block);
                self.add::<L, N>(&mut sums, &dots, scales, block, x, block * N);
            }
            for n in 0..N {
                self.store::<L>(x, n, sums[n], y);
            }
        }
    }

    /// `count` rows of activations from `first`: each block of weights is decoded once.
    #[inline(always)]
    unsafe fn many<L: Lanes>(&self, x: &Activations, first: usize, count: usize, y: &SharedSlice<f32>) {
        // SAFETY: blocks and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [const { MaybeUninit::uninit() }; CHUNK];
            let sums = cleared::<L>(&mut sums[..count]);
            let mut codes = [L::splat(0); 16];
            let offset = L::splat(self.offset * 0x1_0001);
            let mut scales = MaybeUninit::<DecodedScales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales::<L>(self.stretch(block), scales);
                }
                self.prefetch(block + AHEAD);
                for eight in 0..4 {
                    for (pair, decoded) in self.eight_columns::<L>(block, eight).into_iter().enumerate() {
                        codes[4 * eight + pair] = L::sub16(decoded, offset);
                    }
                }
                let at = block * x.tokens + first;
                let (weights, codes) = (self, &codes);
                by_rows::<L>(
                    count,
                    &mut DecodedBlock::<L, BITS> { weights, codes, scales, block, x, at, sums },
                );
            }
            for (token, sums) in sums.iter().enumerate() {
                self.store::<L>(x, first + token, *sums, y);
            }
        }
    }

    /// Prefetches the codes of a block, which may lie in the next tile or past the end of the matrix.
    #[inline(always)]
    pub fn prefetch(&self, block: usize) {
        let (low, high) = match BITS {
            4 => (4, 0),
            5 => (4, 1),
            6 => (4, 2),
            _ => (8, 0),
        };
        for (plane, lines) in [(self.codes, low), (self.high, high)] {
            for line in block * lines..(block + 1) * lines {
                prefetch(Cache::Second, plane.as_ptr().wrapping_add(line * TILE).addr());
            }
        }
    }

    /// `sums + weight scale · dots + min · total`, for `N` rows from `at`.
    #[inline(always)]
    unsafe fn add<L: Lanes, const N: usize>(
        &self,
        sums: &mut [L::Floats],
        dots: &[L::Ints; N],
        scales: *const DecodedScales,
        block: usize,
        x: &Activations,
        at: usize,
    ) {
        let index = block % STRETCH;
        // SAFETY: the caller's.
        unsafe {
            let scale = L::load_floats((&raw const (*scales).scale[index]).cast());
            for n in 0..N {
                sums[n] = L::fma(scale, L::floats(dots[n]), sums[n]);
                if self.has_minimum() {
                    let min = L::load_floats((&raw const (*scales).min[index]).cast());
                    sums[n] = L::fma(min, L::splat_float(*x.totals.get_unchecked(at + n)), sums[n]);
                }
            }
        }
    }

    /// Writes one row of activations' outputs of this tile, which are `sums` times the row's scale.
    #[inline(always)]
    unsafe fn store<L: Lanes>(&self, x: &Activations, token: usize, sums: L::Floats, y: &SharedSlice<f32>) {
        // SAFETY: the caller's.
        unsafe {
            let scale = L::splat_float(*x.scales.get_unchecked(token));
            self.write::<L>(token, L::mul(scale, sums), y);
        }
    }

    /// Writes one row of activations' outputs of this tile.
    #[inline(always)]
    pub unsafe fn write<L: Lanes>(&self, token: usize, values: L::Floats, y: &SharedSlice<f32>) {
        let mut out = [0f32; TILE];
        let rows = TILE.min(self.layout.rows() - self.tile * TILE);
        // SAFETY: 16 places; then this tile's part of a row of `y`, which nobody else writes.
        unsafe {
            L::store_floats(out.as_mut_ptr(), values);
            let at = token * self.layout.rows() + self.tile * TILE;
            match rows {
                TILE => y.write(at, &out), // of a known length: whole stores
                _ => y.write(at, &out[..rows]),
            }
        }
    }
}

/// A decoded block, its offset taken off, and what its products are added to.
struct DecodedBlock<'a, L: Lanes, const BITS: u8> {
    weights: &'a PackedTile<'a, BITS>,
    codes: &'a [L::Ints; 16],
    scales: *const DecodedScales,
    block: usize,
    x: &'a Activations,
    /// The first row's place in the block's activations.
    at: usize,
    sums: &'a mut [L::Floats],
}

impl<L: Lanes, const BITS: u8> ForRows for DecodedBlock<'_, L, BITS> {
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, first: usize) {
        let at = self.at + first;
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [L::splat(0); N];
            for (pair, codes) in self.codes.iter().enumerate() {
                for n in 0..N {
                    dots[n] = L::dot(dots[n], *codes, two::<L>(self.x, at + n, pair));
                }
            }
            let sums = self.sums.get_unchecked_mut(first..first + N);
            self.weights.add::<L, N>(sums, &dots, self.scales, self.block, self.x, at);
        }
    }
}

/// Sets sums to zero. The array of the most sums begins uninitialized, so that only those that are used are cleared.
#[inline(always)]
pub(crate) unsafe fn cleared<L: Lanes>(sums: &mut [MaybeUninit<L::Floats>]) -> &mut [L::Floats] {
    // SAFETY: the caller's instructions; all are written before they are read.
    unsafe {
        sums.fill(MaybeUninit::new(L::splat_float(0.0)));
        std::slice::from_raw_parts_mut(sums.as_mut_ptr().cast(), sums.len())
    }
}
