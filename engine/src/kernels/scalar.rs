//! The readable kernel: any machine, any format, and the oracle of the others.

use super::activations::{Activations, BLOCK};
use crate::quant::decode::group_scale;
use crate::quant::pack::get_codes;
use crate::quant::{Layout, TILE};

/// The 16 outputs of one tile for every row of activations: `out [tokens][16]`.
///
/// Each output adds its groups of columns in order:
/// `y += activation scale · (weight scale · Σ codes · activations) + minimum · Σ activations`.
pub(super) fn integer_tile(
    layout: Layout,
    words: &[u32],
    tile: usize,
    rows: &[Activations],
    out: &mut [f32],
) {
    let (block_len, group) = (layout.format.block_len(), layout.format.group_len());
    let mut codes = [0u8; 256];
    for lane in 0..TILE.min(layout.rows - tile * TILE) {
        let row = tile * TILE + lane;
        let mut sums = vec![0f32; rows.len()];
        for block in 0..layout.blocks() {
            get_codes(layout, words, row, block, &mut codes);
            for (sub, codes) in codes[..block_len].chunks_exact(group).enumerate() {
                let first = block * block_len + sub * group;
                let (scale, min) = group_scale(layout, words, row, first / group);
                for (sum, x) in sums.iter_mut().zip(rows) {
                    let digits = x.high[first..first + group].iter().zip(&x.low[first..first + group]);
                    let activations = digits.map(|(high, low)| 256 * i32::from(*high) + i32::from(*low));
                    let dot: i32 = codes.iter().zip(activations).map(|(w, a)| i32::from(*w) * a).sum();
                    let total: f32 = x.sums[first / 16..(first + group) / 16].iter().sum();
                    *sum += x.scales[first / BLOCK] * (scale * dot as f32) + min * total;
                }
            }
        }
        for (out, sum) in out.chunks_exact_mut(TILE).zip(&sums) {
            out[lane] = *sum;
        }
    }
}
