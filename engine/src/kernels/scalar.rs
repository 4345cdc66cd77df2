//! The readable kernel: any machine, any format, and the oracle of the others.

use std::ops::Range;

use super::activations::{Activations, BLOCK, QUAD};
use super::{Place, Planes};
use crate::quant::TILE;
use crate::quant::decode::{group_scale, value};
use crate::quant::pack::get_codes;

/// The outputs of some tiles for every row of activations, in `y [tokens][rows]`.
///
/// Each output adds its groups of columns in order:
/// `y += weight scale · Σ (code - offset) · activations + minimum · Σ activations`, and at the end is multiplied
/// by the activations' scale.
pub(super) fn run(planes: &Planes, words: &[u32], tiles: Range<usize>, x: &Activations, y: &Place<f32>) {
    let layout = planes.layout;
    let (block_len, group) = (layout.format.block_len(), layout.format.group_len());
    let mut codes = [0u8; 256];
    for row in tiles.start * TILE..layout.rows.min(tiles.end * TILE) {
        let mut sums = vec![0f32; x.tokens];
        for block in 0..layout.blocks() {
            get_codes(layout, words, row, block, &mut codes);
            for (sub, codes) in codes[..block_len].chunks_exact(group).enumerate() {
                let first = block * block_len + sub * group;
                let (scale, min) = group_scale(layout, words, row, first / group);
                for (token, sum) in sums.iter_mut().enumerate() {
                    let at = first / BLOCK * x.tokens + token;
                    let activations = &x.codes[at * BLOCK + first % BLOCK..][..group];
                    let mut dot = 0;
                    for (codes, activations) in codes.chunks_exact(4).zip(activations.chunks_exact(4)) {
                        for (activation, column) in activations.iter().zip(QUAD) {
                            let code = i32::from(codes[column]) - layout.format.offset();
                            dot += code * i32::from(*activation);
                        }
                    }
                    *sum += scale * dot as f32;
                    if layout.format.has_minimum() {
                        *sum += min * x.totals[at];
                    }
                }
            }
        }
        for (token, sum) in sums.iter().enumerate() {
            // SAFETY: a row of these tiles, which nobody else writes.
            unsafe { y.write(token * layout.rows + row, &[*sum * x.scales[token]]) };
        }
    }
}

/// See [`crate::kernels::decode`].
pub(super) fn decode(
    planes: &Planes,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    let layout = planes.layout;
    let (block_len, group) = (layout.format.block_len(), layout.format.group_len());
    let mut codes = [0u8; 256];
    for lane in 0..TILE {
        let row = tile * TILE + lane;
        if row >= layout.rows {
            out[..blocks.len() * BLOCK].iter_mut().for_each(|column| column[lane] = 0.0);
            continue;
        }
        for (index, out) in blocks.clone().zip(out.chunks_exact_mut(BLOCK)) {
            let first = index * BLOCK;
            if index == blocks.start || first.is_multiple_of(block_len) {
                get_codes(layout, words, row, first / block_len, &mut codes);
            }
            let codes = codes[first % block_len..].chunks(group.min(BLOCK));
            for (sub, (out, codes)) in out.chunks_mut(group.min(BLOCK)).zip(codes).enumerate() {
                let (scale, min) = group_scale(layout, words, row, (first + sub * group) / group);
                for (column, code) in out.iter_mut().zip(codes) {
                    column[lane] = value(layout.format, *code, scale, min);
                }
            }
        }
    }
}
