//! Integer products with k-quants. Decoded weights take the integer factors of their groups, so that no sum
//! becomes a float before a whole super-block of 256 columns is in it: of 144 additions to a row's sum, which
//! are what bounds a prompt, 135 are left (Q4_K).

use std::mem::MaybeUninit;

use super::by_rows::{ByRows, by_rows};
use super::lanes::Lanes;
use super::matmul::{AHEAD, CHUNK, cleared, two};
use super::weights::{Weights, at};
use crate::kernels::activations::{Activations, MEAN_OF, SUPER};
use crate::kernels::{Cache, Place, prefetch};
use crate::quant::TILE;

/// The scales of a super-block of 16 rows.
#[repr(align(64))]
struct SuperScales {
    /// The factors of its groups of columns.
    factors: [[u32; TILE]; 2 * SUPER],
    /// Those of its minima, two blocks to a lane, in the order of the activations' means.
    minima: [[u32; TILE]; SUPER / 2],
    scale: [f32; TILE],
    /// Minus the scale of the minima, times what the means were divided by.
    min: [f32; TILE],
}

// The methods are inlined into functions that have the instructions; that is why they lack the attribute.
impl<const BITS: u8> Weights<'_, BITS> {
    /// Blocks of a super-block whose integer sum fits 32 bits.
    const PART: usize = match BITS {
        4 => 8,
        5 => 4,
        _ => 2,
    };
    const MINIMA: bool = BITS != 6;

    /// The outputs of the tile for all rows of activations.
    #[inline(always)]
    pub unsafe fn multiply_super<L: Lanes>(&self, x: &Activations, y: &Place<f32>) {
        // SAFETY: the caller's; the rows given are those of `x`.
        unsafe {
            match x.tokens {
                1 => self.few_super::<L, 1>(x, y),
                2 => self.few_super::<L, 2>(x, y),
                3 => self.few_super::<L, 3>(x, y),
                tokens => {
                    for first in (0..tokens).step_by(CHUNK) {
                        self.many_super::<L>(x, first, CHUNK.min(tokens - first), y);
                    }
                }
            }
        }
    }

    /// All `N` rows of activations: the sums of groups meet their factors.
    #[inline(always)]
    unsafe fn few_super<L: Lanes, const N: usize>(&self, x: &Activations, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [L::splat_float(0.0); N];
            let mut scales = MaybeUninit::<SuperScales>::uninit();
            let scales = scales.as_mut_ptr();
            for index in 0..self.blocks() / SUPER {
                self.super_scales::<L>(index, scales);
                let mut values = [L::splat_float(0.0); N];
                for part in (0..SUPER).step_by(Self::PART) {
                    let mut dots = [L::splat(0); N];
                    for sub in part..part + Self::PART {
                        let block = index * SUPER + sub;
                        self.prefetch(block);
                        let groups = L::dots::<BITS, N>(self, x, block);
                        for group in 0..Self::GROUPS {
                            let factors = L::load((*scales).factors[sub * Self::GROUPS + group].as_ptr());
                            for n in 0..N {
                                dots[n] = L::mul_add32(groups[group][n], factors, dots[n]);
                            }
                        }
                    }
                    add_part::<L, N>(scales, &dots, &mut values);
                }
                self.add_super::<L, N>(scales, values, x, index * N, &mut sums);
            }
            for n in 0..N {
                self.write::<L>(n, sums[n], y);
            }
        }
    }

    /// `count` rows of activations from `first`: each super-block of weights is decoded once.
    #[inline(always)]
    unsafe fn many_super<L: Lanes>(&self, x: &Activations, first: usize, count: usize, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [const { MaybeUninit::uninit() }; CHUNK];
            let sums = cleared::<L>(&mut sums[..count]);
            let mut codes = MaybeUninit::<[[L::Ints; 16]; SUPER]>::uninit();
            let codes = codes.as_mut_ptr();
            let mut scales = MaybeUninit::<SuperScales>::uninit();
            let scales = scales.as_mut_ptr();
            for index in 0..self.blocks() / SUPER {
                self.super_scales::<L>(index, scales);
                for sub in 0..SUPER {
                    self.prefetch(index * SUPER + sub);
                    self.times_factors::<L>(index * SUPER + sub, scales, &mut (*codes)[sub]);
                }
                by_rows::<L>(
                    count,
                    &mut SuperBlock::<L, BITS> { weights: self, codes, scales, index, x, first, sums },
                );
            }
            for (token, sums) in sums.iter().enumerate() {
                self.write::<L>(first + token, *sums, y);
            }
        }
    }

    /// The codes of a block less their offset, times their factors.
    #[inline(always)]
    unsafe fn times_factors<L: Lanes>(
        &self,
        block: usize,
        scales: *const SuperScales,
        codes: &mut [L::Ints; 16],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let offset = L::splat(self.offset * 0x1_0001);
            for eight in 0..4 {
                let group = block % SUPER * Self::GROUPS + eight * Self::GROUPS / 4;
                let factors = L::twice(L::load((*scales).factors[group].as_ptr()));
                for (pair, decoded) in self.eight_columns::<L>(block, eight).into_iter().enumerate() {
                    let less = if Self::MINIMA { decoded } else { L::sub16(decoded, offset) };
                    codes[4 * eight + pair] = L::mul16(less, factors);
                }
            }
        }
    }

    /// Decodes the scales of a super-block, and asks for those of a later one.
    #[inline(always)]
    unsafe fn super_scales<L: Lanes>(&self, index: usize, out: *mut SuperScales) {
        // SAFETY: the caller's: the words of this super-block, 16 places at a time.
        unsafe {
            // Words of a super-block in each part.
            let (sub_scales, scales) = if Self::MINIMA { (3 * TILE, TILE) } else { (4 * TILE, TILE / 2) };
            let later = index + AHEAD / SUPER;
            for word in (0..sub_scales).step_by(TILE) {
                prefetch(
                    Cache::Second,
                    self.sub_scales.as_ptr().wrapping_add(later * sub_scales + word).addr(),
                );
            }
            prefetch(Cache::Second, self.scales.as_ptr().wrapping_add(later * scales).addr());
            let factors = |group: usize, value| L::store((&raw mut (*out).factors[group]).cast(), value);
            let minima = |pair: usize, value| L::store((&raw mut (*out).minima[pair]).cast(), value);
            let scale = |value| L::store_floats((&raw mut (*out).scale).cast(), value);
            if !Self::MINIMA {
                for four in 0..4 {
                    let word = L::load(at(self.sub_scales, (4 * index + four) * TILE));
                    for byte in 0..4 {
                        factors(4 * four + byte, L::signed_byte(word, byte as i32));
                    }
                }
                return scale(L::halves(at(self.scales, index * (TILE / 2))));
            }
            let bytes = self.six_bits::<L>(index);
            for sub in 0..SUPER {
                let byte = L::right32(bytes[sub / 4], 8 * (sub % 4) as i32);
                factors(sub, L::and(byte, L::splat(255)));
            }
            for pair in 0..SUPER / 2 {
                let bytes = L::right16(bytes[2 + pair / 2], 8 * (pair % 2) as i32);
                minima(pair, L::and(bytes, L::splat(0x00ff_00ff)));
            }
            let (d, m) = L::pairs_of_halves(at(self.scales, index * TILE));
            scale(d);
            L::store_floats((&raw mut (*out).min).cast(), L::mul(m, L::splat_float(-(MEAN_OF as f32))));
        }
    }

    /// `sums + activations' scale · (values + min · Σ minima · means)`, for `N` rows from `at`.
    #[inline(always)]
    unsafe fn add_super<L: Lanes, const N: usize>(
        &self,
        scales: *const SuperScales,
        mut values: [L::Floats; N],
        x: &Activations,
        at: usize,
        sums: &mut [L::Floats],
    ) {
        // SAFETY: the caller's; 8 means, two at a time.
        unsafe {
            if Self::MINIMA {
                let mut dots = [L::splat(0); N];
                for (pair, minima) in (*scales).minima.iter().enumerate() {
                    let minima = L::load(minima.as_ptr());
                    for n in 0..N {
                        let means = x.means.as_ptr().add(at + n).cast::<i32>().add(pair).read_unaligned();
                        dots[n] = L::dot(dots[n], minima, L::splat(means));
                    }
                }
                let min = L::load_floats((*scales).min.as_ptr());
                for n in 0..N {
                    values[n] = L::fma(min, L::floats(dots[n]), values[n]);
                }
            }
            for n in 0..N {
                let scale = L::splat_float(*x.scales.get_unchecked(at + n));
                sums[n] = L::fma(scale, values[n], sums[n]);
            }
        }
    }
}

/// `values += scale · dots`.
#[inline(always)]
unsafe fn add_part<L: Lanes, const N: usize>(
    scales: *const SuperScales,
    dots: &[L::Ints; N],
    values: &mut [L::Floats; N],
) {
    // SAFETY: the caller's.
    unsafe {
        let scale = L::load_floats((*scales).scale.as_ptr());
        for n in 0..N {
            values[n] = L::fma(scale, L::floats(dots[n]), values[n]);
        }
    }
}

/// A decoded super-block, and what its products are added to.
struct SuperBlock<'a, L: Lanes, const BITS: u8> {
    weights: &'a Weights<'a, BITS>,
    codes: *const [[L::Ints; 16]; SUPER],
    scales: *const SuperScales,
    index: usize,
    x: &'a Activations,
    /// The row of activations whose sums are the first.
    first: usize,
    sums: &'a mut [L::Floats],
}

impl<L: Lanes, const BITS: u8> ByRows for SuperBlock<'_, L, BITS> {
    #[inline(always)]
    unsafe fn rows<const N: usize>(&mut self, first: usize) {
        let (x, token) = (self.x, self.first + first);
        // Or the compiler loads codes before the loop over rows, more than the registers hold, and spills them.
        let codes = std::hint::black_box(self.codes);
        // SAFETY: the caller's.
        unsafe {
            let mut values = [L::splat_float(0.0); N];
            for part in (0..SUPER).step_by(Weights::<BITS>::PART) {
                let mut dots = [L::splat(0); N];
                for sub in part..part + Weights::<BITS>::PART {
                    let at = (self.index * SUPER + sub) * x.tokens + token;
                    for (pair, codes) in (*codes)[sub].iter().enumerate() {
                        for n in 0..N {
                            dots[n] = L::dot(dots[n], *codes, two::<L>(x, at + n, pair));
                        }
                    }
                }
                add_part::<L, N>(self.scales, &dots, &mut values);
            }
            let at = self.index * x.tokens + token;
            let sums = self.sums.get_unchecked_mut(first..first + N);
            self.weights.add_super::<L, N>(self.scales, values, x, at, sums);
        }
    }
}
