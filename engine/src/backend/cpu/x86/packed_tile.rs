//! The packed weights of a tile in registers: a lane holds codes of its row, two of 16 bits or four bytes.

use std::ops::Range;

use super::lanes::Lanes;
use crate::backend::cpu::operands::activations_q16::{Activations, BLOCK_COLUMNS};
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::quant::formats::ScaleKind;
use crate::quant::{Format, Layout, TILE};

/// Blocks whose scales are decoded at once; a multiple of the 8 blocks that share a super-scale.
pub(crate) const STRETCH: usize = 32;

// `BITS` alone chooses between these kernels, so two more properties must follow from it: codes of 6 bits have two groups
// in a block of 32 columns, all others one; and of the k-quants, only that of 6 bits has no minima.
const _: () = {
    let mut index = 0;
    while index < Format::GGUF.len() {
        let format = Format::GGUF[index];
        let six = format.code_bits() == 6;
        assert!(format.group_len() == if six { BLOCK_COLUMNS / 2 } else { BLOCK_COLUMNS });
        assert!(!format.has_super_blocks() || format.has_minimum() != six);
        index += 1;
    }
};

/// The packed weights of one tile.
#[derive(Clone, Copy)]
pub(crate) struct PackedTile<'a, const BITS: u8> {
    pub layout: Layout,
    pub tile: usize,
    pub codes: &'a [u32],
    pub high: &'a [u32],
    pub sub_scales: &'a [u32],
    pub scales: &'a [u32],
    /// How codes become values.
    pub kind: ScaleKind,
    /// What is subtracted from a code, where the format's values are symmetric.
    pub offset: i32,
}

// The methods lack `#[target_feature]` because they are inlined into functions that have it.
impl<'a, const BITS: u8> PackedTile<'a, BITS> {
    /// Groups of columns in a block; each has its own scale.
    pub const GROUPS: usize = if BITS == 6 { 2 } else { 1 };

    /// `kind` is the format's: callers that have a loop for one kind alone name it, so that the compiler need not
    /// provide for the others there.
    #[inline(always)]
    pub fn new(offsets: &PackedOffsets, words: &'a [u32], tile: usize, kind: ScaleKind) -> Self {
        let layout = offsets.layout();
        debug_assert_eq!(layout.format().scale_kind(), kind);
        Self {
            layout,
            tile,
            codes: offsets.codes().tiles(words, tile..tile + 1),
            high: offsets.high().tiles(words, tile..tile + 1),
            sub_scales: offsets.sub_scales().tiles(words, tile..tile + 1),
            scales: offsets.scales().tiles(words, tile..tile + 1),
            kind,
            offset: layout.format().offset(),
        }
    }

    #[inline(always)]
    pub fn has_minimum(&self) -> bool {
        self.kind.has_minimum()
    }

    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.layout.cols() / BLOCK_COLUMNS
    }

    /// The blocks from `first` whose scales are decoded at once.
    #[inline(always)]
    pub fn stretch(&self, first: usize) -> Range<usize> {
        first..self.blocks().min(first + STRETCH)
    }

    /// Columns `8 eight ..` of a block as 16-bit pairs, in the order of the activations.
    #[inline(always)]
    pub unsafe fn eight_columns<L: Lanes>(&self, block: usize, eight: usize) -> [L::Ints; 4] {
        // SAFETY: the caller's: 16 words of this tile's planes at a time.
        unsafe {
            let words = |plane: &[u32], index: usize| {
                debug_assert!((index + 1) * TILE <= plane.len());
                L::load(plane.as_ptr().add(index * TILE))
            };
            let eight_of = block * 4 + eight;
            if BITS == 8 {
                let byte = L::splat(0x00ff_00ff);
                let (a, b) = (words(self.codes, 2 * eight_of), words(self.codes, 2 * eight_of + 1));
                return [L::and(a, byte), L::right16(a, 8), L::and(b, byte), L::right16(b, 8)];
            }
            let word = words(self.codes, eight_of);
            let nibble = L::splat(0x000f_000f);
            let mut codes = [
                L::and(word, nibble),
                L::and(L::right16(word, 8), nibble),
                L::and(L::right16(word, 4), nibble),
                L::right16(word, 12),
            ];
            if BITS == 4 {
                return codes;
            }
            let (bits, per_quad, word) = match BITS {
                5 => (0x0010_0010, 1, words(self.high, block)),
                _ => (0x0030_0030, 2, words(self.high, block * 2 + eight / 2)),
            };
            for pair in 0..4 {
                // The quad's bits go from place `from` of their half word to place 4.
                let quad = if BITS == 5 { 2 * eight + pair / 2 } else { 2 * (eight % 2) + pair / 2 };
                let from = (per_quad * quad + 8 * (pair % 2)) as i32;
                let high = match from {
                    ..4 => L::left16(word, 4 - from),
                    _ => L::right16(word, from - 4),
                };
                codes[pair] = L::or(codes[pair], L::and(high, L::splat(bits)));
            }
            codes
        }
    }

    /// The codes of a block as bytes: vector `quad` holds columns `4 quad .. 4 quad + 4`.
    #[inline(always)]
    pub unsafe fn quads<L: Lanes>(&self, block: usize) -> [L::Ints; 8] {
        // SAFETY: the caller's: 16 words of this tile's planes at a time.
        unsafe {
            let words = |plane: &[u32], index: usize| L::load(at(plane, index * TILE));
            let mut quads = [L::splat(0); 8];
            if BITS == 8 {
                for (quad, codes) in quads.iter_mut().enumerate() {
                    *codes = words(self.codes, block * 8 + quad);
                }
                return quads;
            }
            let nibble = L::splat(0x0f0f_0f0f);
            for eight in 0..4 {
                let word = words(self.codes, block * 4 + eight);
                quads[2 * eight] = L::and(word, nibble);
                quads[2 * eight + 1] = L::and(L::right16(word, 4), nibble);
            }
            if BITS == 4 {
                return quads;
            }
            for (quad, codes) in quads.iter_mut().enumerate() {
                // The quad's bits go from place `from` of their byte to place 4.
                let (mask, from, word) = match BITS {
                    5 => (0x1010_1010, quad as i32, words(self.high, block)),
                    _ => (0x3030_3030, 2 * (quad % 4) as i32, words(self.high, block * 2 + quad / 4)),
                };
                let high = match from {
                    ..4 => L::left16(word, 4 - from),
                    _ => L::right16(word, from - 4),
                };
                *codes = L::or(*codes, L::and(high, L::splat(mask)));
            }
            quads
        }
    }

    /// See [`Lanes::dots`]: with pairs of 16-bit codes.
    #[inline(always)]
    pub unsafe fn dots_by_pairs<L: Lanes, const N: usize>(
        &self,
        x: &Activations,
        block: usize,
    ) -> [L::Ints; N] {
        // SAFETY: the caller's.
        unsafe {
            let mut dots = [L::splat(0); N];
            for n in 0..N {
                dots[n] = L::splat(self.start(x, block * N + n));
            }
            for eight in 0..4 {
                for (pair, codes) in self.eight_columns::<L>(block, eight).into_iter().enumerate() {
                    for n in 0..N {
                        dots[n] = L::dot(dots[n], codes, two::<L>(x, block * N + n, 4 * eight + pair));
                    }
                }
            }
            dots
        }
    }

    /// What the sums of integer products start from: minus the offset of all codes.
    #[inline(always)]
    pub unsafe fn start(&self, x: &Activations, at: usize) -> i32 {
        // SAFETY: the caller's.
        -self.offset * unsafe { *x.totals.get_unchecked(at) } as i32
    }

    /// Decodes the scales and minima (where the format has them) of up to [`STRETCH`] blocks.
    #[inline(always)]
    pub unsafe fn decode_scales<L: Lanes>(&self, blocks: Range<usize>, out: *mut DecodedScales) {
        // SAFETY: 16 words (8 of f16) of this tile's scales at a time; places of the stretch.
        unsafe {
            let scale = |index: usize, value| L::store_floats((&raw mut (*out).scale[index]).cast(), value);
            let min = |index: usize, value| L::store_floats((&raw mut (*out).min[index]).cast(), value);
            match self.kind {
                ScaleKind::HalfPair => {
                    for (index, block) in blocks.enumerate() {
                        let (d, m) = L::pairs_of_halves(at(self.scales, block * TILE));
                        scale(index, d);
                        min(index, m);
                    }
                }
                ScaleKind::SixBitPairs => {
                    let mut sixes = [L::splat(0); 4];
                    let (mut d, mut m) = (L::splat_float(0.0), L::splat_float(0.0));
                    for (index, block) in blocks.enumerate() {
                        if index == 0 || block % 8 == 0 {
                            sixes = self.six_bits::<L>(block / 8);
                            (d, m) = L::pairs_of_halves(at(self.scales, block / 8 * TILE));
                            m = L::mul(m, L::splat_float(-1.0));
                        }
                        let value = |bytes| {
                            let byte = L::and(L::right32(bytes, 8 * (block % 4) as i32), L::splat(255));
                            L::floats(byte)
                        };
                        let four = block % 8 / 4;
                        scale(index, L::mul(d, value(sixes[four])));
                        min(index, L::mul(m, value(sixes[2 + four])));
                    }
                }
                ScaleKind::SignedBytes => {
                    for (index, group) in (2 * blocks.start..2 * blocks.end).enumerate() {
                        let word = L::load(at(self.sub_scales, group / 4 * TILE));
                        let signed = L::signed_byte(word, (group % 4) as i32);
                        let d = L::halves(at(self.scales, group / 16 * (TILE / 2)));
                        scale(index, L::mul(d, L::floats(signed)));
                    }
                }
                ScaleKind::Half | ScaleKind::Nested => {
                    for (index, block) in blocks.enumerate() {
                        scale(index, L::halves(at(self.scales, block * (TILE / 2))));
                    }
                }
            }
        }
    }

    /// The 6-bit scales of the sub-blocks 0 to 3 and 4 to 7 of a super-block, then their minima, a byte a
    /// sub-block (`get_scale_min_k4` on the bytes of 16 rows).
    #[inline(always)]
    pub unsafe fn six_bits<L: Lanes>(&self, block: usize) -> [L::Ints; 4] {
        // SAFETY: the caller's: this super-block's three times 16 words.
        unsafe {
            let words = at(self.sub_scales, 3 * block * TILE);
            let (a, b, c) = (L::load(words), L::load(words.add(TILE)), L::load(words.add(2 * TILE)));
            let bytes = |byte: u32| L::splat((byte * 0x0101_0101) as i32);
            let (four, six, upper) = (bytes(15), bytes(63), bytes(48));
            let above = |word| L::and(L::right32(word, 2), upper);
            [
                L::and(a, six),
                L::or(L::and(c, four), above(a)),
                L::and(b, six),
                L::or(L::and(L::right32(c, 4), four), above(b)),
            ]
        }
    }
}

/// Scales and minima of 16 rows for the groups of a stretch of blocks. Callers keep it in uninitialized memory, because
/// clearing it would cost a decoded token a tenth of its time; hence the raw pointers to it.
#[repr(align(64))]
pub(crate) struct DecodedScales {
    pub scale: [[f32; TILE]; 2 * STRETCH],
    pub min: [[f32; TILE]; STRETCH],
}

/// Where the words from `index` of a plane lie, at least 8 of them.
#[inline(always)]
pub(crate) fn at(plane: &[u32], index: usize) -> *const u32 {
    debug_assert!(index + 8 <= plane.len());
    plane.as_ptr().wrapping_add(index)
}

/// Two activations of row `at` for every lane.
#[inline(always)]
pub(crate) unsafe fn two<L: Lanes>(x: &Activations, at: usize, pair: usize) -> L::Ints {
    // SAFETY: the caller's: the row has 32 codes.
    unsafe { L::splat(x.codes.as_ptr().add(at * BLOCK_COLUMNS + 2 * pair).cast::<i32>().read_unaligned()) }
}
