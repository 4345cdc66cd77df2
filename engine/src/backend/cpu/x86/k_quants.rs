//! Integer products with k-quants: codes of both sides are bytes, four columns to a lane.

use std::mem::MaybeUninit;

use super::lanes::Lanes;
use super::matmul::{AHEAD, CHUNK, cleared};
use super::packed_tile::{PackedTile, at};
use super::row_groups::{ForRows, by_rows};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q8::ActivationsQ8;
use crate::backend::cpu::operands::activations_q16::SUPER_BLOCKS;
use crate::backend::cpu::threads::prefetch::{Cache, prefetch};
use crate::quant::TILE;

/// The scales of a super-block of 16 rows.
#[repr(align(64))]
struct SuperScales {
    /// The scales of its groups of columns.
    scales: [[f32; TILE]; 2 * SUPER_BLOCKS],
    /// The factors of its minima, two blocks to a lane, in the order of the activations' totals.
    minima: [[u32; TILE]; SUPER_BLOCKS / 2],
    /// Minus the scale of the minima.
    min: [f32; TILE],
}

// The methods lack `#[target_feature]` because they are inlined into functions that have it.
impl<const BITS: u8> PackedTile<'_, BITS> {
    const MINIMA: bool = BITS != 6;

    /// The outputs of the tile for all `tokens` rows of activations.
    #[inline(always)]
    pub unsafe fn multiply_super<L: Lanes>(&self, tokens: usize, x: &ActivationsQ8, y: &SharedSlice<f32>) {
        // SAFETY: the caller's; the rows given are those of `x`.
        unsafe {
            match tokens {
                1 => self.few_super::<L, 1>(x, y),
                2 => self.few_super::<L, 2>(x, y),
                3 => self.few_super::<L, 3>(x, y),
                _ => {
                    for first in (0..tokens).step_by(CHUNK) {
                        self.many_super::<L>(tokens, x, first, CHUNK.min(tokens - first), y);
                    }
                }
            }
        }
    }

    /// All `N` rows of activations: the weights are decoded on the way.
    #[inline(always)]
    unsafe fn few_super<L: Lanes, const N: usize>(&self, x: &ActivationsQ8, y: &SharedSlice<f32>) {
        // SAFETY: blocks and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [L::splat_float(0.0); N];
            let mut scales = MaybeUninit::<SuperScales>::uninit();
            let scales = scales.as_mut_ptr();
            for index in 0..self.blocks() / SUPER_BLOCKS {
                self.super_scales::<L>(index, scales);
                for sub in 0..SUPER_BLOCKS {
                    let block = index * SUPER_BLOCKS + sub;
                    let codes = self.quads::<L>(block);
                    add_block::<L, BITS, N>(&codes, scales, sub, x, block * N, &mut sums);
                }
                if Self::MINIMA {
                    add_minima::<L, N>(scales, x, index * N, &mut sums);
                }
            }
            for n in 0..N {
                self.write::<L>(n, sums[n], y);
            }
        }
    }

    /// `count` rows of activations from `first`: each super-block of weights is decoded once.
    #[inline(always)]
    unsafe fn many_super<L: Lanes>(
        &self,
        tokens: usize,
        x: &ActivationsQ8,
        first: usize,
        count: usize,
        y: &SharedSlice<f32>,
    ) {
        // SAFETY: blocks and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [const { MaybeUninit::uninit() }; CHUNK];
            let sums = cleared::<L>(&mut sums[..count]);
            let mut codes = MaybeUninit::<[[L::Ints; 8]; SUPER_BLOCKS]>::uninit();
            let codes = codes.as_mut_ptr();
            let mut scales = MaybeUninit::<SuperScales>::uninit();
            let scales = scales.as_mut_ptr();
            for index in 0..self.blocks() / SUPER_BLOCKS {
                self.prefetch_scales(index + AHEAD / SUPER_BLOCKS);
                self.super_scales::<L>(index, scales);
                for sub in 0..SUPER_BLOCKS {
                    self.prefetch(index * SUPER_BLOCKS + sub + AHEAD);
                    (*codes)[sub] = self.quads::<L>(index * SUPER_BLOCKS + sub);
                }
                by_rows::<L>(
                    count,
                    &mut DecodedSuperBlock::<L, BITS> { codes, scales, index, tokens, x, first, sums },
                );
            }
            for (token, sums) in sums.iter().enumerate() {
                self.write::<L>(first + token, *sums, y);
            }
        }
    }

    /// Prefetches the scales of a super-block, which may lie in the next tile or past the end of the matrix.
    #[inline(always)]
    fn prefetch_scales(&self, index: usize) {
        // Words of a super-block in each part.
        let (sub_scales, scales) = if Self::MINIMA { (3 * TILE, TILE) } else { (4 * TILE, TILE / 2) };
        for word in (0..sub_scales).step_by(TILE) {
            prefetch(Cache::Second, self.sub_scales.as_ptr().wrapping_add(index * sub_scales + word).addr());
        }
        prefetch(Cache::Second, self.scales.as_ptr().wrapping_add(index * scales).addr());
    }

    /// Decodes the scales of a super-block.
    #[inline(always)]
    unsafe fn super_scales<L: Lanes>(&self, index: usize, out: *mut SuperScales) {
        // SAFETY: the caller's: the words of this super-block, 16 places at a time.
        unsafe {
            let scale = |group: usize, value| L::store_floats((&raw mut (*out).scales[group]).cast(), value);
            let minima = |pair: usize, value| L::store((&raw mut (*out).minima[pair]).cast(), value);
            if !Self::MINIMA {
                let d = L::halves(at(self.scales, index * (TILE / 2)));
                for four in 0..4 {
                    let word = L::load(at(self.sub_scales, (4 * index + four) * TILE));
                    for byte in 0..4 {
                        let factors = L::signed_byte(word, byte as i32);
                        scale(4 * four + byte, L::mul(d, L::floats(factors)));
                    }
                }
                return;
            }
            let (d, m) = L::pairs_of_halves(at(self.scales, index * TILE));
            let bytes = self.six_bits::<L>(index);
            for sub in 0..SUPER_BLOCKS {
                let byte = L::right32(bytes[sub / 4], 8 * (sub % 4) as i32);
                scale(sub, L::mul(d, L::floats(L::and(byte, L::splat(255)))));
            }
            for pair in 0..SUPER_BLOCKS / 2 {
                let bytes = L::right16(bytes[2 + pair / 2], 8 * (pair % 2) as i32);
                minima(pair, L::and(bytes, L::splat(0x00ff_00ff)));
            }
            L::store_floats((&raw mut (*out).min).cast(), L::mul(m, L::splat_float(-1.0)));
        }
    }
}

/// `sums + scale · activations' scale · Σ codes · activations` of a block, for `N` rows from `at`.
#[inline(always)]
unsafe fn add_block<L: Lanes, const BITS: u8, const N: usize>(
    codes: &[L::Ints; 8],
    scales: *const SuperScales,
    sub: usize,
    x: &ActivationsQ8,
    at: usize,
    sums: &mut [L::Floats],
) {
    let groups = PackedTile::<BITS>::GROUPS;
    // SAFETY: the caller's; four of 32 codes at a time.
    unsafe {
        for group in 0..groups {
            let mut starts = [L::splat(0); N];
            let mut rows = [std::ptr::null(); N];
            for n in 0..N {
                if !PackedTile::<BITS>::MINIMA {
                    starts[n] = L::splat(x.starts.get_unchecked(at + n)[group]);
                }
                rows[n] = x.codes.as_ptr().add(at + n).cast::<i32>().add(8 / groups * group);
            }
            let quads = &codes[8 / groups * group..8 / groups * (group + 1)];
            let dots = L::dot_quads::<BITS, N>(starts, quads, rows);
            let scale = L::load_floats((&raw const (*scales).scales[sub * groups + group]).cast());
            for n in 0..N {
                let scale = L::mul(scale, L::splat_float(*x.scales.get_unchecked(at + n)));
                sums[n] = L::fma(scale, L::floats(dots[n]), sums[n]);
            }
        }
    }
}

/// `sums + min · totals' scale · Σ minima · totals` of a super-block, for `N` rows from `at`.
#[inline(always)]
unsafe fn add_minima<L: Lanes, const N: usize>(
    scales: *const SuperScales,
    x: &ActivationsQ8,
    at: usize,
    sums: &mut [L::Floats],
) {
    // SAFETY: the caller's; 8 totals, two at a time.
    unsafe {
        let mut dots = [L::splat(0); N];
        for (pair, minima) in (*scales).minima.iter().enumerate() {
            let minima = L::load(minima.as_ptr());
            for n in 0..N {
                let totals = x.totals.as_ptr().add(at + n).cast::<i32>().add(pair).read_unaligned();
                dots[n] = L::dot(dots[n], minima, L::splat(totals));
            }
        }
        let min = L::load_floats((&raw const (*scales).min).cast());
        for n in 0..N {
            let min = L::mul(min, L::splat_float(*x.total_scales.get_unchecked(at + n)));
            sums[n] = L::fma(min, L::floats(dots[n]), sums[n]);
        }
    }
}

/// A decoded super-block, and what its products are added to.
struct DecodedSuperBlock<'a, L: Lanes, const BITS: u8> {
    codes: *const [[L::Ints; 8]; SUPER_BLOCKS],
    scales: *const SuperScales,
    index: usize,
    /// Rows of activations in all.
    tokens: usize,
    x: &'a ActivationsQ8,
    /// The row of activations to which `sums[0]` belongs.
    first: usize,
    sums: &'a mut [L::Floats],
}

impl<L: Lanes, const BITS: u8> ForRows for DecodedSuperBlock<'_, L, BITS> {
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, first: usize) {
        let token = self.first + first;
        // Hides the pointer from the compiler, which would hoist the loads of the codes out of the loop over rows: they are
        // more than the registers hold, and would be spilled.
        let codes = std::hint::black_box(self.codes);
        // SAFETY: the caller's.
        unsafe {
            let sums = self.sums.get_unchecked_mut(first..first + N);
            for sub in 0..SUPER_BLOCKS {
                let at = (self.index * SUPER_BLOCKS + sub) * self.tokens + token;
                add_block::<L, BITS, N>(&(*codes)[sub], self.scales, sub, self.x, at, sums);
            }
            if PackedTile::<BITS>::MINIMA {
                add_minima::<L, N>(self.scales, self.x, self.index * self.tokens + token, sums);
            }
        }
    }
}
