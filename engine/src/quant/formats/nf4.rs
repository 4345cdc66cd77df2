//! NF4 with double quantization, in bitsandbytes' layout: `x = NF4_CODE[q] · (dynamic_map[absmax] · absmax2 + offset)`.

use rayon::prelude::*;

use super::{FormatSpec, LONGEST, ScaleKind};
use crate::error::EngineError;
use crate::quant::dynamic_map::{DynamicMap, dynamic_map};
use crate::quant::layout::{Layout, TILE};
use crate::quant::pack::{get_codes, put_codes};

pub(crate) const NF4: FormatSpec = FormatSpec {
    name: "NF4",
    block_len: ABSMAX_VALUES,
    block_bytes: ABSMAX_VALUES / 2,
    group_len: ABSMAX_VALUES,
    code_bits: 4,
    offset: 0,
    scale_kind: ScaleKind::Nested,
    blocks: None,
};

/// What each of the 16 codes stands for, in units of its block's largest magnitude.
///
/// The quantiles of a normal distribution, so that normally distributed weights use all codes about equally.
///
/// Source: Dettmers et al. 2023, QLoRA, arXiv:2305.14314, appendix E.
#[allow(clippy::excessive_precision)] // as bitsandbytes has them
pub const NF4_CODE: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// A value above `BOUNDS[i]` gets a code above `i`: the midpoints of [`NF4_CODE`] but for their last bits, which are
/// those of bitsandbytes' `dQuantizeNF4`.
#[allow(clippy::excessive_precision)] // as bitsandbytes has them
const BOUNDS: [f32; 15] = [
    -0.8480964004993439,
    -0.6106329262256622,
    -0.4599952697753906,
    -0.33967943489551544,
    -0.23460740596055984,
    -0.13791173323988914,
    -0.045525018125772476,
    0.03979014977812767,
    0.1202552504837513,
    0.2035212516784668,
    0.2920137718319893,
    0.3893125355243683,
    0.5016634166240692,
    0.6427869200706482,
    0.8614784181118011,
];

/// Values that share an `absmax`.
const ABSMAX_VALUES: usize = 64;
/// Scales that share an `absmax2`.
pub(in crate::quant) const ABSMAX2_SCALES: usize = 256;

/// A vector of 4-bit codes with 8-bit scales.
///
/// `x = NF4_CODE[code] · (dynamic_map[absmax] · absmax2 + offset)`
///
/// Where:
/// - `code`: 4 bits for each value
/// - `absmax`: 8 bits for each 64 values
/// - `absmax2`: an f32 for each 256 `absmax`
/// - `offset`: the mean of the blocks' largest magnitudes
///
/// The parts are those of a bitsandbytes checkpoint: `weight`, `weight.absmax`, `weight.nested_absmax` and
/// `nested_offset` in `weight.quant_state.bitsandbytes__nf4`.
#[derive(Debug, Clone, PartialEq)]
pub struct Nf4 {
    codes: Vec<u8>,
    absmax: Vec<u8>,
    absmax2: Vec<f32>,
    offset: f32,
    len: usize,
}

impl Nf4 {
    /// Puts together the parts of `len` values.
    ///
    /// # Errors
    /// [`EngineError::Shape`] if a part has not the length that `len` asks for: `codes` `len / 2`, `absmax`
    /// `len / 64`, and `absmax2` `len / 64 / 256`, each rounded up.
    pub fn new(
        codes: Vec<u8>,
        absmax: Vec<u8>,
        absmax2: Vec<f32>,
        offset: f32,
        len: usize,
    ) -> Result<Self, EngineError> {
        let blocks = len.div_ceil(ABSMAX_VALUES);
        for (part, found, needed) in [
            ("codes", codes.len(), len.div_ceil(2)),
            ("absmax", absmax.len(), blocks),
            ("nested absmax", absmax2.len(), blocks.div_ceil(ABSMAX2_SCALES)),
        ] {
            if found != needed {
                return Err(EngineError::Shape {
                    what: format!("NF4 {part}"),
                    reason: format!("{found} elements, but {len} values need {needed}"),
                });
            }
        }
        Ok(Self { codes, absmax, absmax2, offset, len })
    }

    /// Quantizes `values`, of which the last block may be partial.
    ///
    /// The codes are those of bitsandbytes on a GPU, except that a block of zeros gets the code of 0 (as bitsandbytes
    /// does on a CPU; on a GPU it gets the code of -1, which double quantization makes a small number). `offset` is
    /// summed in f64, so that it does not depend on the number of threads.
    ///
    /// NaN becomes minus its block's largest magnitude. An infinity makes `offset` infinite and leaves no
    /// value finite.
    pub fn quantize(values: &[f32]) -> Self {
        let largest: Vec<f32> = values.par_chunks(ABSMAX_VALUES).map(magnitude).collect();
        let mut codes = vec![0; values.len().div_ceil(2)];
        codes.par_chunks_mut(ABSMAX_VALUES / 2).zip(values.par_chunks(ABSMAX_VALUES)).zip(&largest).for_each(
            |((codes, values), largest)| {
                let inverse = reciprocal(*largest);
                for (byte, pair) in codes.iter_mut().zip(values.chunks(2)) {
                    let second = pair.get(1).copied().unwrap_or_default();
                    *byte = code(pair[0] * inverse) << 4 | code(second * inverse);
                }
            },
        );

        let sum: f64 = largest.iter().copied().map(f64::from).sum();
        let offset = (sum / largest.len().max(1) as f64) as f32;
        let centered: Vec<f32> = largest.iter().map(|absmax| absmax - offset).collect();
        let absmax2: Vec<f32> = centered.chunks(ABSMAX2_SCALES).map(magnitude).collect();
        let absmax = centered
            .chunks(ABSMAX2_SCALES)
            .zip(&absmax2)
            .flat_map(|(scales, largest)| {
                let inverse = reciprocal(*largest);
                scales.iter().map(move |scale| DynamicMap::Signed.nearest(scale * inverse))
            })
            .collect();
        Self { codes, absmax, absmax2, offset, len: values.len() }
    }

    /// The values, in f32.
    pub fn dequantize(&self) -> Vec<f32> {
        let scales = self.scales();
        let mut values = vec![0.0; self.len];
        values
            .par_chunks_mut(ABSMAX_VALUES)
            .zip(self.codes.par_chunks(ABSMAX_VALUES / 2))
            .zip(&scales)
            .for_each(|((values, codes), scale)| {
                for (pair, byte) in values.chunks_mut(2).zip(codes) {
                    for (x, code) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                        *x = NF4_CODE[usize::from(code)] * scale;
                    }
                }
            });
        values
    }

    /// The scale of each block of 64 values: its largest magnitude, as far as 8 bits tell.
    pub fn scales(&self) -> Vec<f32> {
        let map = dynamic_map();
        self.absmax
            .chunks(ABSMAX2_SCALES)
            .zip(&self.absmax2)
            .flat_map(|(absmax, absmax2)| {
                absmax.iter().map(move |code| map[usize::from(*code)] * absmax2 + self.offset)
            })
            .collect()
    }

    /// Two codes a byte, the first in the high half.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The code of each block's scale in [`dynamic_map`].
    pub fn absmax(&self) -> &[u8] {
        &self.absmax
    }

    /// The scale of each 256 scales.
    pub fn absmax2(&self) -> &[f32] {
        &self.absmax2
    }

    /// What is added to every scale.
    pub fn offset(&self) -> f32 {
        self.offset
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()))
}

/// `1 / largest`, kept finite as bitsandbytes does on a CPU.
fn reciprocal(largest: f32) -> f32 {
    1.0 / largest.max(1e-38)
}

fn code(x: f32) -> u8 {
    BOUNDS.partition_point(|bound| *bound < x) as u8
}

/// Packs a matrix into `words`: zeros, as many as the layout has.
pub(crate) fn pack(layout: Layout, nf4: &Nf4, words: &mut [u32]) {
    let blocks = layout.blocks();
    for row in 0..layout.rows() {
        let (tile, lane) = (row / TILE, row % TILE);
        for index in 0..blocks {
            let flat = row * blocks + index;
            let mut block = [0u8; LONGEST];
            for (pair, byte) in nf4.codes()[flat * 32..(flat + 1) * 32].iter().enumerate() {
                block[2 * pair] = byte >> 4;
                block[2 * pair + 1] = byte & 15;
            }
            let start = tile * layout.tile_codes();
            let codes = &mut words[start..start + layout.tile_codes()];
            put_codes(layout, index, lane, &block, codes, &mut []);
            let word = layout.sub_scales().start + (tile * blocks + index) * 4 + lane / 4;
            words[word] |= u32::from(nf4.absmax()[flat]) << (8 * (lane % 4));
        }
    }
    let second = layout.absmax2();
    for (word, scale) in words[second].iter_mut().zip(nf4.absmax2().iter().chain([&nf4.offset()])) {
        *word = scale.to_bits();
    }
}

/// The inverse of [`pack`].
pub(crate) fn unpack(layout: Layout, words: &[u32]) -> Nf4 {
    let blocks = layout.blocks();
    let mut codes = Vec::with_capacity(layout.rows() * layout.cols() / 2);
    let mut absmax = Vec::with_capacity(layout.rows() * blocks);
    for row in 0..layout.rows() {
        for index in 0..blocks {
            let mut block = [0u8; LONGEST];
            get_codes(layout, words, row, index, &mut block);
            codes.extend(block[..ABSMAX_VALUES].chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
            absmax.push(packed_absmax(layout, words, row, index));
        }
    }
    let mut absmax2: Vec<f32> = words[layout.absmax2()].iter().map(|word| f32::from_bits(*word)).collect();
    let offset = absmax2.pop().unwrap_or_default();
    Nf4::new(codes, absmax, absmax2, offset, layout.rows() * layout.cols())
        .expect("the layout counts the parts")
}

/// The scale of a block of a packed matrix.
#[cfg(feature = "flex")]
pub(in crate::quant) fn packed_scale(layout: Layout, words: &[u32], row: usize, index: usize) -> f32 {
    let second = &words[layout.absmax2()];
    let offset = f32::from_bits(second[second.len() - 1]);
    let absmax2 = f32::from_bits(second[(row * layout.blocks() + index) / ABSMAX2_SCALES]);
    dynamic_map()[usize::from(packed_absmax(layout, words, row, index))] * absmax2 + offset
}

fn packed_absmax(layout: Layout, words: &[u32], row: usize, index: usize) -> u8 {
    let (tile, lane) = (row / TILE, row % TILE);
    let word = words[layout.sub_scales().start + (tile * layout.blocks() + index) * 4 + lane / 4];
    (word >> (8 * (lane % 4))) as u8
}
