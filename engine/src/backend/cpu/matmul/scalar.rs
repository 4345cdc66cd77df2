//! The readable kernel: any machine, any format, and the oracle of the others.

use std::ops::Range;

use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q8::ActivationsQ8;
use crate::backend::cpu::operands::activations_q16::{Activations, BLOCK_COLUMNS, QUAD, SUPER_BLOCKS};
use crate::backend::cpu::operands::assert_sizes;
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::quant::decode::{factors, group_scale, value};
use crate::quant::formats::LONGEST;
use crate::quant::pack::{get_codes, scales};
use crate::quant::{Format, Layout, TILE};

/// The outputs of some tiles for every row of activations, in `y [tokens][rows]`.
///
/// Each output adds its groups of columns in order:
/// `y += weight scale · Σ (code - offset) · activations + minimum · Σ activations`, and at the end is multiplied
/// by the activations' scale. For k-quants see [`super_blocks`].
///
/// # Safety
/// As a [`Kernel`](crate::backend::cpu::operands::Kernel)'s.
pub(crate) unsafe fn run(
    offsets: &PackedOffsets,
    words: &[u32],
    tiles: Range<usize>,
    x: &Activations,
    y: &SharedSlice<f32>,
) {
    assert_sizes(offsets, words, &tiles, x, y);
    let layout = offsets.layout();
    for row in tiles.start * TILE..layout.rows().min(tiles.end * TILE) {
        let sums = match layout.format().has_super_blocks() {
            true => super_blocks(layout, words, row, x.tokens, &x.q8),
            false => blocks(layout, words, row, x),
        };
        for (token, sum) in sums.into_iter().enumerate() {
            // SAFETY: a row of these tiles, which are the caller's alone.
            unsafe { y.write(token * layout.rows() + row, &[sum]) };
        }
    }
}

fn blocks(layout: Layout, words: &[u32], row: usize, x: &Activations) -> Vec<f32> {
    let mut codes = [0u8; LONGEST];
    let mut sums = vec![0f32; x.tokens];
    for block in 0..layout.blocks() {
        get_codes(layout, words, row, block, &mut codes);
        let (scale, min) = group_scale(layout, words, row, block);
        for (token, sum) in sums.iter_mut().enumerate() {
            let at = block * x.tokens + token;
            *sum += scale
                * dot(
                    layout.format(),
                    &codes[..BLOCK_COLUMNS],
                    &x.codes[at * BLOCK_COLUMNS..][..BLOCK_COLUMNS],
                ) as f32;
            if layout.format().has_minimum() {
                *sum += min * x.totals[at];
            }
        }
    }
    sums.iter().zip(&x.scales).map(|(sum, scale)| sum * scale).collect()
}

/// `y += scale · activations' scale · Σ (code - offset) · activations` of each group of columns; minima are
/// multiplied with the totals of a super-block's blocks.
fn super_blocks(layout: Layout, words: &[u32], row: usize, tokens: usize, x: &ActivationsQ8) -> Vec<f32> {
    let (format, group) = (layout.format(), layout.format().group_len());
    let groups = SUPER_BLOCKS * BLOCK_COLUMNS / group;
    let mut codes = [0u8; LONGEST];
    let mut sums = vec![0f32; tokens];
    for block in 0..layout.blocks() {
        get_codes(layout, words, row, block, &mut codes);
        let (d, m) = scales(layout, words, row, block);
        let (d, m) = (d.to_f32(), m.to_f32());
        for (token, sum) in sums.iter_mut().enumerate() {
            let mut minima = 0;
            for (sub, codes) in codes.chunks_exact(group).enumerate() {
                let (factor, min) = factors(layout, words, row, block * groups + sub);
                let column = block * SUPER_BLOCKS * BLOCK_COLUMNS + sub * group;
                let at = column / BLOCK_COLUMNS * tokens + token;
                let activations = &x.codes[at][column % BLOCK_COLUMNS..][..group];
                let products = codes.iter().zip(activations);
                let dot: i32 = products.map(|(c, x)| (i32::from(*c) - format.offset()) * i32::from(*x)).sum();
                *sum += d * factor as f32 * x.scales[at] * dot as f32;
                if format.has_minimum() {
                    let place = sub / 4 * 4 + QUAD[sub % 4];
                    minima += min * i32::from(x.totals[block * tokens + token][place]);
                }
            }
            if format.has_minimum() {
                *sum -= m * x.total_scales[block * tokens + token] * minima as f32;
            }
        }
    }
    sums
}

/// `Σ (code - offset) · activation`.
fn dot(format: Format, codes: &[u8], activations: &[i16]) -> i32 {
    let quads = codes.chunks_exact(4).zip(activations.chunks_exact(4));
    let pairs = quads.flat_map(|(codes, quad)| QUAD.into_iter().map(|column| codes[column]).zip(quad));
    pairs.map(|(code, activation)| (i32::from(code) - format.offset()) * i32::from(*activation)).sum()
}

/// See [`crate::backend::cpu::matmul::dispatch::decode`].
pub(crate) fn decode(
    offsets: &PackedOffsets,
    words: &[u32],
    tile: usize,
    blocks: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    let layout = offsets.layout();
    let (block_len, group) = (layout.format().block_len(), layout.format().group_len());
    let mut codes = [0u8; LONGEST];
    for lane in 0..TILE {
        let row = tile * TILE + lane;
        if row >= layout.rows() {
            out[..blocks.len() * BLOCK_COLUMNS].iter_mut().for_each(|column| column[lane] = 0.0);
            continue;
        }
        for (index, out) in blocks.clone().zip(out.chunks_exact_mut(BLOCK_COLUMNS)) {
            let first = index * BLOCK_COLUMNS;
            if index == blocks.start || first.is_multiple_of(block_len) {
                get_codes(layout, words, row, first / block_len, &mut codes);
            }
            let codes = codes[first % block_len..].chunks(group.min(BLOCK_COLUMNS));
            for (sub, (out, codes)) in out.chunks_mut(group.min(BLOCK_COLUMNS)).zip(codes).enumerate() {
                let (scale, min) = group_scale(layout, words, row, (first + sub * group) / group);
                for (column, code) in out.iter_mut().zip(codes) {
                    column[lane] = value(layout.format(), *code, scale, min);
                }
            }
        }
    }
}
