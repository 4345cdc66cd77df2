//! Products with packed matrices, and their values.

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{elements, empty, input, output};
use super::unpack::{EIGHT, Place, affine, code, codes, tables, value};
use crate::quant::{Layout, TILE};

/// Units that share the columns of a tile of 16 rows.
const SHARES: usize = 16;

#[cube(launch)]
fn matmul_tiles(
    x: &[f32],
    words: &[u32],
    tables: &[f32],
    y: &mut [f32],
    tokens: usize,
    #[comptime] layout: Layout,
    #[comptime] batch: usize,
) {
    let (lane, share) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let (tile, first) = (CUBE_POS_X as usize, CUBE_POS_Y as usize * batch);
    let cols = comptime!(layout.cols());
    let eights = comptime!(layout.cols() / EIGHT);

    // This unit's part of the sums of a row and each token.
    let mut sums = Array::<f32>::new(batch);
    #[unroll]
    for token in 0..batch {
        sums[token] = 0.0f32;
    }
    let mut eight = share;
    while eight < eights {
        let place = Place { tile, lane, eight };
        let packed = codes(words, &place, layout);
        let by = affine(words, tables, &place, layout);
        #[unroll]
        for column in 0..8u32 {
            let weight = value(code(&packed, column, layout), &by, tables, layout);
            #[unroll]
            for token in 0..batch {
                sums[token] += weight * x[(first + token) * cols + eight * EIGHT + column as usize];
            }
        }
        eight += SHARES;
    }

    let mut shared = Shared::<[f32]>::new_slice(comptime!(batch * SHARES * TILE));
    #[unroll]
    for token in 0..batch {
        shared[(token * SHARES + share) * TILE + lane] = sums[token];
    }
    sync_cube();
    let row = tile * TILE + lane;
    // As many shares as tokens at most: each adds up one token's.
    if share < batch && first + share < tokens && row < comptime!(layout.rows()) {
        let mut sum = 0.0f32;
        for part in 0..SHARES {
            sum += shared[(share * SHARES + part) * TILE + lane];
        }
        y[(first + share) * comptime!(layout.rows()) + row] = sum;
    }
}

/// `y = x · Wᵀ` in f32: `x [tokens, cols]` → `[tokens, rows]`. Each matrix word is read once for up to 8 tokens.
pub(super) fn matmul(x: &CubeTensor, words: &CubeTensor, layout: Layout) -> CubeTensor {
    let [tokens, _] = x.shape().dims();
    let y = empty(x, [tokens, layout.rows()]);
    let batch = match tokens {
        1 => 1,
        2..=4 => 4,
        _ => 8,
    };
    matmul_tiles::launch(
        &x.client,
        CubeCount::Static(layout.tiles() as u32, tokens.div_ceil(batch) as u32, 1),
        CubeDim::new_2d(TILE as u32, SHARES as u32),
        input(x),
        input(words),
        tables(&x.device),
        output(&y),
        tokens,
        layout,
        batch,
    );
    y
}

#[cube(launch)]
fn dequantize_tiles(words: &[u32], tables: &[f32], w: &mut [f32], #[comptime] layout: Layout) {
    let lane = UNIT_POS_X as usize;
    let (tile, eight) = (CUBE_POS_X as usize, CUBE_POS_Y as usize * SHARES + UNIT_POS_Y as usize);
    let row = tile * TILE + lane;
    if row < comptime!(layout.rows()) && eight < comptime!(layout.cols() / EIGHT) {
        let place = Place { tile, lane, eight };
        write_eight(words, tables, w, &place, row, layout);
    }
}

/// Writes the values of 8 columns of one row to row `to` of `w`.
#[cube]
fn write_eight(
    words: &[u32],
    tables: &[f32],
    w: &mut [f32],
    place: &Place,
    to: usize,
    #[comptime] layout: Layout,
) {
    let packed = codes(words, place, layout);
    let by = affine(words, tables, place, layout);
    let first = to * comptime!(layout.cols()) + place.eight * EIGHT;
    #[unroll]
    for column in 0..8u32 {
        w[first + column as usize] = value(code(&packed, column, layout), &by, tables, layout);
    }
}

/// `W [rows, cols]` in f32.
pub(super) fn dequantize(words: &CubeTensor, layout: Layout) -> CubeTensor {
    let w = empty(words, [layout.rows(), layout.cols()]);
    let eights = layout.cols() / EIGHT;
    dequantize_tiles::launch(
        &words.client,
        CubeCount::Static(layout.tiles() as u32, eights.div_ceil(SHARES) as u32, 1),
        CubeDim::new_2d(TILE as u32, SHARES as u32),
        input(words),
        tables(&words.device),
        output(&w),
        layout,
    );
    w
}

#[cube(launch)]
fn dequantize_some(
    words: &[u32],
    ids: &[i32],
    tables: &[f32],
    w: &mut [f32],
    count: usize,
    #[comptime] layout: Layout,
) {
    let at = ABSOLUTE_POS;
    let eights = comptime!(layout.cols() / EIGHT);
    if at < count * eights {
        let (to, eight) = (at / eights, at % eights);
        let row = ids[to] as usize;
        let (tile, lane) = (row / TILE, row % TILE);
        let place = Place { tile, lane, eight };
        write_eight(words, tables, w, &place, to, layout);
    }
}

/// The rows `ids [n]` in f32: `[n, cols]`.
pub(super) fn dequantize_rows(words: &CubeTensor, ids: &CubeTensor, layout: Layout) -> CubeTensor {
    let [count] = ids.shape().dims();
    let w = empty(words, [count, layout.cols()]);
    let (cubes, units) = elements(count * layout.cols() / EIGHT);
    dequantize_some::launch(
        &words.client,
        cubes,
        units,
        input(words),
        input(ids),
        tables(&words.device),
        output(&w),
        count,
        layout,
    );
    w
}
