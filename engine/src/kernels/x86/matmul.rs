//! Integer products: each step adds to a row's sum the products of two of its weights with two activations.

use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::mem::MaybeUninit;
use std::ops::Range;

use super::lanes::{Avx2, Avx512, Lanes, has_avx2, has_avx512};
use super::weights::{STRETCH, Scales, Weights};
use crate::kernels::activations::{Activations, BLOCK, FEW};
use crate::kernels::{Kernel, Place, Planes};
use crate::quant::{Format, TILE};

/// Rows of activations that share the decoding of a block of weights: their sums, and their part of the block,
/// lie in the first cache.
const CHUNK: usize = 128;
/// Blocks of codes that are asked for ahead of their use, about 10 KiB, into the second cache: the first one
/// has too few places for what is on its way.
const AHEAD: usize = 40;

/// The products that the machine has the instructions for, the best first.
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    // SAFETY: handed out only where the instructions exist, and within the bounds.
    let avx512: Kernel = |planes, words, tiles, x, y| unsafe {
        assert_bounds(planes, words, &tiles, x);
        with_avx512(planes, words, tiles, x, y);
    };
    // SAFETY: as above.
    let avx2: Kernel = |planes, words, tiles, x, y| unsafe {
        assert_bounds(planes, words, &tiles, x);
        with_avx2(planes, words, tiles, x, y);
    };
    let kernels = [(has_avx512(), avx512), (has_avx2(), avx2)];
    kernels.into_iter().filter_map(|(has, kernel)| has.then_some(kernel))
}

/// What the pointers of a kernel stay within.
fn assert_bounds(planes: &Planes, words: &[u32], tiles: &Range<usize>, x: &Activations) {
    assert!(words.len() >= planes.words && tiles.end <= planes.tiles);
    let blocks = x.tokens * (planes.layout.cols / BLOCK);
    assert!(x.codes.len() == blocks * BLOCK && x.scales.len() == x.tokens);
    assert!(x.sums.len() == blocks && x.totals.len() == blocks);
    assert!(x.tokens > FEW || x.digits.len() == blocks);
}

/// # Safety
/// The instructions of [`Avx512`], and what [`assert_bounds`] asserts.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn with_avx512(planes: &Planes, words: &[u32], tiles: Range<usize>, x: &Activations, y: &Place<f32>) {
    // SAFETY: the caller's.
    unsafe { run::<Avx512>(planes, words, tiles, x, y) };
}

/// # Safety
/// The instructions of [`Avx2`], and what [`assert_bounds`] asserts.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(planes: &Planes, words: &[u32], tiles: Range<usize>, x: &Activations, y: &Place<f32>) {
    // SAFETY: the caller's.
    unsafe { run::<Avx2>(planes, words, tiles, x, y) };
}

/// Some tiles, all rows of activations.
#[inline(always)]
unsafe fn run<L: Lanes>(
    planes: &Planes,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &Place<f32>,
) {
    // SAFETY: the caller's.
    unsafe {
        match planes.layout.format {
            Format::Q5_0 | Format::Q5_1 | Format::Q5_K => run_of::<L, 5>(planes, words, tiles, x, y),
            Format::Q6_K => run_of::<L, 6>(planes, words, tiles, x, y),
            Format::Q8_0 => run_of::<L, 8>(planes, words, tiles, x, y),
            _ => run_of::<L, 4>(planes, words, tiles, x, y),
        }
    }
}

#[inline(always)]
unsafe fn run_of<L: Lanes, const BITS: u8>(
    planes: &Planes,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &Place<f32>,
) {
    for tile in tiles {
        // SAFETY: the caller's.
        unsafe { Weights::<BITS>::new(planes, words, tile).multiply::<L>(x, y) };
    }
}

impl<const BITS: u8> Weights<'_, BITS> {
    #[inline(always)]
    unsafe fn multiply<L: Lanes>(&self, x: &Activations, y: &Place<f32>) {
        // SAFETY: the caller's; the rows given are those of `x`.
        unsafe {
            match x.tokens {
                1 if L::DIGITS => self.few_by_digits::<1>(x, y),
                2 if L::DIGITS => self.few_by_digits::<2>(x, y),
                3 if L::DIGITS => self.few_by_digits::<3>(x, y),
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
    unsafe fn few<L: Lanes, const N: usize>(&self, x: &Activations, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [L::splat_float(0.0); N];
            let mut scales = MaybeUninit::<Scales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales::<L>(self.stretch(block), scales);
                }
                self.prefetch(block);
                let at = block * N;
                for group in 0..Self::GROUPS {
                    let mut dots: [_; N] = std::array::from_fn(|n| L::splat(self.start(x, at + n, group)));
                    for eight in 4 * group / Self::GROUPS..4 * (group + 1) / Self::GROUPS {
                        for (pair, codes) in self.eight_columns::<L>(block, eight).into_iter().enumerate() {
                            for n in 0..N {
                                dots[n] = L::dot(dots[n], codes, two::<L>(x, at + n, 4 * eight + pair));
                            }
                        }
                    }
                    let index = (block % STRETCH) * Self::GROUPS + group;
                    self.add::<L, N>(&mut sums, &dots, scales, index, x, at);
                }
            }
            for n in 0..N {
                self.store::<L>(x, n, sums[n], y);
            }
        }
    }

    /// `count` rows of activations from `first`: each block of weights is decoded once.
    #[inline(always)]
    unsafe fn many<L: Lanes>(&self, x: &Activations, first: usize, count: usize, y: &Place<f32>) {
        // SAFETY: blocks, groups and rows of activations that exist; the instructions are the caller's.
        unsafe {
            let mut sums = [const { MaybeUninit::uninit() }; CHUNK]; // cleared as far as they are used
            sums[..count].fill(MaybeUninit::new(L::splat_float(0.0)));
            let sums = std::slice::from_raw_parts_mut(sums.as_mut_ptr().cast::<L::Floats>(), count);
            let mut codes = [L::splat(0); 16];
            let offset = L::splat(self.offset * 0x1_0001);
            let mut scales = MaybeUninit::<Scales>::uninit();
            let scales = scales.as_mut_ptr();
            for block in 0..self.blocks() {
                if block % STRETCH == 0 {
                    self.decode_scales::<L>(self.stretch(block), scales);
                }
                for eight in 0..4 {
                    for (pair, decoded) in self.eight_columns::<L>(block, eight).into_iter().enumerate() {
                        codes[4 * eight + pair] = L::sub16(decoded, offset);
                    }
                }
                let mut at = block * x.tokens + first;
                let mut rest = &mut sums[..];
                while !rest.is_empty() {
                    let rows = if rest.len() >= L::ROWS { L::ROWS } else { rest.len().min(4) };
                    let (sums, others) = rest.split_at_mut(rows);
                    match rows {
                        1 => self.rows::<L, 1>(&codes, scales, block, x, at, sums),
                        2 => self.rows::<L, 2>(&codes, scales, block, x, at, sums),
                        3 => self.rows::<L, 3>(&codes, scales, block, x, at, sums),
                        4 => self.rows::<L, 4>(&codes, scales, block, x, at, sums),
                        _ => self.rows::<L, 8>(&codes, scales, block, x, at, sums),
                    }
                    (rest, at) = (others, at + rows);
                }
            }
            for (token, sums) in sums.iter().enumerate() {
                self.store::<L>(x, first + token, *sums, y);
            }
        }
    }

    /// Adds the products of one decoded block, its offset taken off, with `N` rows of activations from `at`.
    #[inline(always)]
    unsafe fn rows<L: Lanes, const N: usize>(
        &self,
        codes: &[L::Ints; 16],
        scales: *const Scales,
        block: usize,
        x: &Activations,
        at: usize,
        sums: &mut [L::Floats],
    ) {
        // SAFETY: the caller's.
        unsafe {
            for group in 0..Self::GROUPS {
                let mut dots = [L::splat(0); N];
                for pair in 16 * group / Self::GROUPS..16 * (group + 1) / Self::GROUPS {
                    for n in 0..N {
                        dots[n] = L::dot(dots[n], codes[pair], two::<L>(x, at + n, pair));
                    }
                }
                let index = (block % STRETCH) * Self::GROUPS + group;
                self.add::<L, N>(sums, &dots, scales, index, x, at);
            }
        }
    }

    /// Asks for the codes [`AHEAD`] blocks after `block`, perhaps in the next tile or behind the last.
    #[inline(always)]
    pub unsafe fn prefetch(&self, block: usize) {
        let (low, high) = match BITS {
            4 => (4, 0),
            5 => (4, 1),
            6 => (4, 2),
            _ => (8, 0),
        };
        for (plane, lines) in [(self.codes, low), (self.high, high)] {
            for line in (block + AHEAD) * lines..(block + AHEAD + 1) * lines {
                // SAFETY: a prefetch may name any address.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(plane.as_ptr().wrapping_add(line * TILE).cast()) };
            }
        }
    }

    /// What the sums of integer products start from: minus the offset of all codes of the group.
    #[inline(always)]
    pub unsafe fn start(&self, x: &Activations, at: usize, group: usize) -> i32 {
        // SAFETY: the caller's.
        let sums = unsafe { x.sums.get_unchecked(at) };
        -self.offset * if BITS == 6 { sums[group] } else { sums[0] + sums[1] }
    }

    /// `sums + weight scale · dots + min · total`, for `N` rows from `at`.
    #[inline(always)]
    unsafe fn add<L: Lanes, const N: usize>(
        &self,
        sums: &mut [L::Floats],
        dots: &[L::Ints; N],
        scales: *const Scales,
        index: usize,
        x: &Activations,
        at: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let scale = L::load_floats((&raw const (*scales).scale[index]).cast());
            for n in 0..N {
                sums[n] = L::fma(scale, L::floats(dots[n]), sums[n]);
                if self.has_minimum {
                    let min = L::load_floats((&raw const (*scales).min[index]).cast());
                    sums[n] = L::fma(min, L::splat_float(*x.totals.get_unchecked(at + n)), sums[n]);
                }
            }
        }
    }

    /// Writes one row of activations' outputs of this tile.
    #[inline(always)]
    pub unsafe fn store<L: Lanes>(&self, x: &Activations, token: usize, sums: L::Floats, y: &Place<f32>) {
        let mut out = [0f32; TILE];
        let rows = TILE.min(self.layout.rows - self.tile * TILE);
        // SAFETY: 16 places; then this tile's part of a row of `y`, which nobody else writes.
        unsafe {
            L::store_floats(out.as_mut_ptr(), L::mul(L::splat_float(*x.scales.get_unchecked(token)), sums));
            let at = token * self.layout.rows + self.tile * TILE;
            match rows {
                TILE => y.write(at, &out), // of a known length: whole stores
                _ => y.write(at, &out[..rows]),
            }
        }
    }
}

/// Two activations of row `at` for every lane.
#[inline(always)]
pub(super) unsafe fn two<L: Lanes>(x: &Activations, at: usize, pair: usize) -> L::Ints {
    // SAFETY: the caller's: the row has 32 codes.
    unsafe { L::splat(x.codes.as_ptr().add(at * BLOCK + 2 * pair).cast::<i32>().read_unaligned()) }
}
