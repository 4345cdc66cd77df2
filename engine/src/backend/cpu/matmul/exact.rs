//! Products in f32 with the weights decoded on the way, a panel of 16 output lanes at a time: `W` never
//! exists whole. A panel is decoded once for all rows of activations and stays in the nearest cache
//! while they pass by, so both directions run at the speed of a dense product.

use crate::backend::cpu::dense::panel::{ROWS, product};
use crate::backend::cpu::instructions::for_the_machine;
use crate::backend::cpu::matmul::dispatch::decode;
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::operands::activations_q16::BLOCK_COLUMNS;
use crate::backend::cpu::operands::packed_offsets::PackedOffsets;
use crate::backend::cpu::threads::pool;
use crate::quant::{Layout, TILE};

/// Rows of activations whose sums stay in the second cache.
const CHUNK: usize = 512;
/// Blocks of columns that a panel of `x · Wᵀ` is long.
const BLOCKS: usize = 4;
/// Tiles of rows that a panel of `dy · W` is long.
const TILES: usize = 4;

/// Some rows of 16 neighbouring columns of the right-hand matrix.
type Panel = [[f32; TILE]];

/// `y = x · Wᵀ`: `x [tokens, cols]` → `[tokens, rows]`.
pub(crate) fn matmul(x: &[f32], words: &[u32], layout: Layout) -> Vec<f32> {
    let (offsets, rows, cols) = (PackedOffsets::of(layout), layout.rows(), layout.cols());
    by_panels::<1>(x, cols, rows, |tile, add| {
        let mut panel = [[0f32; TILE]; BLOCKS * BLOCK_COLUMNS];
        for first in (0..cols / BLOCK_COLUMNS).step_by(BLOCKS) {
            let blocks = first..(first + BLOCKS).min(cols / BLOCK_COLUMNS);
            let len = blocks.len() * BLOCK_COLUMNS;
            decode(&offsets, words, tile, blocks, &mut panel);
            add(first * BLOCK_COLUMNS, [&panel[..len]]);
        }
    })
}

/// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`.
pub(crate) fn matmul_transposed(dy: &[f32], words: &[u32], layout: Layout) -> Vec<f32> {
    let (offsets, rows, cols) = (PackedOffsets::of(layout), layout.rows(), layout.cols());
    by_panels::<2>(dy, rows, cols, |block, add| {
        let (mut tile, mut panels) = ([[0f32; TILE]; BLOCK_COLUMNS], [[[0f32; TILE]; TILES * TILE]; 2]);
        for first in (0..layout.tiles()).step_by(TILES) {
            let tiles = first..(first + TILES).min(layout.tiles());
            let len = (tiles.len() * TILE).min(rows - first * TILE);
            for (index, tile_index) in tiles.enumerate() {
                decode(&offsets, words, tile_index, block..block + 1, &mut tile);
                for (panel, columns) in panels.iter_mut().zip(tile.as_chunks::<TILE>().0) {
                    for (lane, row) in panel[index * TILE..(index + 1) * TILE].iter_mut().enumerate() {
                        *row = columns.map(|column| column[lane]);
                    }
                }
            }
            add(first * TILE, [&panels[0][..len], &panels[1][..len]]);
        }
    })
}

/// `Wᵀ [cols, rows]`.
pub(crate) fn columns(words: &[u32], layout: Layout) -> Vec<f32> {
    let (offsets, rows, cols) = (PackedOffsets::of(layout), layout.rows(), layout.cols());
    let mut columns: Vec<f32> = Vec::with_capacity(rows * cols);
    let place = SharedSlice::new(columns.spare_capacity_mut());
    pool::run(layout.tiles(), &|tile| {
        let lanes = TILE.min(rows - tile * TILE);
        let mut panel = [[0f32; TILE]; BLOCKS * BLOCK_COLUMNS];
        for first in (0..cols / BLOCK_COLUMNS).step_by(BLOCKS) {
            let blocks = first..(first + BLOCKS).min(cols / BLOCK_COLUMNS);
            let columns = blocks.start * BLOCK_COLUMNS..blocks.end * BLOCK_COLUMNS;
            decode(&offsets, words, tile, blocks, &mut panel);
            for (column, values) in columns.zip(&panel) {
                // SAFETY: this tile's rows of this column.
                unsafe { place.write(column * rows + tile * TILE, &values[..lanes]) };
            }
        }
    });
    // SAFETY: the tiles cover all rows of all columns.
    unsafe { columns.set_len(rows * cols) };
    columns
}

/// `a [tokens, inner] · B → [tokens, width]`, where `panels(index, add)` calls `add(first, panels)` with
/// the rows `first ..` of `N` times 16 columns of `B [inner, width]`, piece by piece.
fn by_panels<const N: usize>(
    a: &[f32],
    inner: usize,
    width: usize,
    panels: impl Fn(usize, &mut dyn FnMut(usize, [&Panel; N])) + Sync,
) -> Vec<f32> {
    let tokens = a.len() / inner;
    let mut out: Vec<f32> = Vec::with_capacity(tokens * width);
    let place = SharedSlice::new(out.spare_capacity_mut());
    let columns = width.div_ceil(N * TILE);
    pool::run(columns * tokens.div_ceil(CHUNK), &|task| {
        let (chunk, column) = (task / columns, task % columns);
        let tokens = chunk * CHUNK..tokens.min((chunk + 1) * CHUNK);
        let a = &a[tokens.start * inner..tokens.end * inner];
        let mut sums: [_; N] = std::array::from_fn(|_| vec![[0f32; TILE]; tokens.len()]);
        panels(column, &mut |first, panels| {
            for (panel, sums) in panels.into_iter().zip(&mut sums) {
                add_panel(a, inner, first, panel, sums);
            }
        });
        for (index, sums) in sums.iter().enumerate() {
            let at = (column * N + index) * TILE;
            let lanes = TILE.min(width.saturating_sub(at));
            for (token, sums) in tokens.clone().zip(sums) {
                // SAFETY: this task's lanes of this row.
                unsafe { place.write(token * width + at, &sums[..lanes]) };
            }
        }
    });
    // SAFETY: the tasks cover all columns of all rows.
    unsafe { out.set_len(tokens * width) };
    out
}

for_the_machine!(
    /// `sums [tokens] += a [tokens, inner][.., first ..] · panel`.
    fn add_panel(a: &[f32], inner: usize, first: usize, panel: &Panel, sums: &mut [[f32; TILE]])
        = add_panel_to_all
);

#[inline(always)]
fn add_panel_to_all<const FMA: bool>(
    a: &[f32],
    inner: usize,
    first: usize,
    panel: &Panel,
    sums: &mut [[f32; TILE]],
) {
    let (b, len) = (panel.as_flattened(), panel.len());
    let row = |token: usize| &a[token * inner + first..][..len];
    let (groups, rest) = sums.as_chunks_mut::<ROWS>();
    for (index, sums) in groups.iter_mut().enumerate() {
        *sums =
            product::<FMA, ROWS>(len, (std::array::from_fn(|n| row(index * ROWS + n)), 1), (b, TILE), *sums);
    }
    for (index, sums) in rest.iter_mut().enumerate() {
        [*sums] = product::<FMA, 1>(len, ([row(groups.len() * ROWS + index)], 1), (b, TILE), [*sums]);
    }
}
