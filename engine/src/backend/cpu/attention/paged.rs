//! Attention over blocks of 32 positions with an online softmax: one pass over the keys and values.
//!
//! Keys lie transposed, so that the lanes of a score vector are positions and nothing is summed across
//! lanes. Blocks begin at multiples of 32 positions whatever the batch, so a row's result depends on that
//! row alone.
//!
//! Source: Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135.

use crate::backend::cpu::attention::cached::Cached;
use crate::backend::cpu::dense::panel::{LANES, ROWS, product};
use crate::backend::cpu::elementwise::exp;
use crate::backend::cpu::instructions::{fma, for_the_machine};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::threads::pool;
use crate::ops::paged::{BLOCK, Pages};

/// Query rows that share a block while it is near.
const NEAR: usize = 48;
/// Multiplications that are worth a task of its own.
const TASK: usize = 1 << 16;

/// Shapes of one attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

/// `q [tokens, heads, head_dim]` over `keys [blocks, kv_heads, head_dim, 32]` and
/// `values [blocks, kv_heads, 32, head_dim]`: `[tokens, heads, head_dim]`.
pub(crate) fn paged(q: &[f32], keys: Cached, values: Cached, shape: Heads, pages: &Pages) -> Vec<f32> {
    let Heads { heads, kv_heads, head_dim } = shape;
    assert_eq!(q.len(), pages.tokens() * heads * head_dim, "queries of other tokens");
    let group = heads / kv_heads;
    let mut y = vec![0f32; q.len()];
    let place = SharedSlice::over(&mut y);

    // A task: some tokens of one chunk, one key/value head.
    let mut tasks = Vec::new();
    for (index, chunk) in pages.sequences().iter().enumerate() {
        let context = chunk.past + chunk.len;
        let step = (TASK / (2 * context * group * head_dim).max(1)).max(NEAR.div_ceil(group));
        for first in (0..chunk.len).step_by(step) {
            let tokens = first..chunk.len.min(first + step);
            tasks.extend((0..kv_heads).map(|kv_head| (index, kv_head, tokens.clone())));
        }
    }
    pool::run(tasks.len(), &|task| {
        let (index, kv_head, tokens) = tasks[task].clone();
        let chunk = &pages.sequences()[index];
        let mut scratch = vec![0f32; NEAR * head_dim];
        let mut block = [keys, values].map(|cached| vec![0f32; cached.room(BLOCK * head_dim)]);
        let rows: Vec<(usize, usize)> =
            tokens.flat_map(|token| (0..group).map(move |g| (token, kv_head * group + g))).collect();
        for rows in rows.chunks(NEAR) {
            let mut few = [Row::default(); NEAR];
            for (row, (token, head)) in few.iter_mut().zip(rows) {
                let at = ((chunk.start + token) * heads + head) * head_dim;
                let position = chunk.past + token;
                let first = pages.window().map_or(0, |window| (position + 1).saturating_sub(window));
                *row = Row { at, first, end: position + 1 };
            }
            let few = &few[..rows.len()];
            let out = &mut scratch[..rows.len() * head_dim];
            let blocks = Blocks { keys, values, table: &chunk.blocks, kv_head, kv_heads, head_dim };
            attend(q, few, blocks, &mut block, out);
            for (row, out) in few.iter().zip(out.chunks_exact(head_dim)) {
                // SAFETY: this task's token and head of `y`: sequences have no token in common, and all are in `q`.
                unsafe { place.write(row.at, out) };
            }
        }
    });
    y
}

/// Writes `k`, `v [tokens, kv_heads, head_dim]` to their places in the blocks.
pub(crate) fn write<E: Copy>(
    keys: &mut [E],
    values: &mut [E],
    k: &[E],
    v: &[E],
    shape: Heads,
    pages: &Pages,
) {
    let Heads { kv_heads, head_dim, .. } = shape;
    for chunk in pages.sequences() {
        for token in 0..chunk.len {
            let position = chunk.past + token;
            let (block, place) = (chunk.blocks[position / BLOCK] as usize, position % BLOCK);
            for kv_head in 0..kv_heads {
                let from = ((chunk.start + token) * kv_heads + kv_head) * head_dim;
                let start = (block * kv_heads + kv_head) * head_dim * BLOCK;
                values[start + place * head_dim..][..head_dim].copy_from_slice(&v[from..from + head_dim]);
                let column = keys[start + place..].iter_mut().step_by(BLOCK);
                column.zip(&k[from..from + head_dim]).for_each(|(key, k)| *key = *k);
            }
        }
    }
}

/// A query: where it lies in `q`, and the positions it sees.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    at: usize,
    first: usize,
    end: usize,
}

/// The keys and values of one sequence and head.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    keys: Cached<'a>,
    values: Cached<'a>,
    table: &'a [u32],
    kv_head: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Blocks<'_> {
    /// The keys `[head_dim][32]` and values `[32][head_dim]` of a block, in `room` if not as they are.
    #[inline(always)]
    fn at<'s, const FMA: bool>(
        &'s self,
        block: usize,
        [keys, values]: &'s mut [Vec<f32>; 2],
    ) -> [&'s [f32]; 2] {
        let place = |block: usize| {
            let len = BLOCK * self.head_dim;
            let start = (self.table[block] as usize * self.kv_heads + self.kv_head) * len;
            start..start + len
        };
        let (here, next) = (place(block), place((block + 1).min(self.table.len() - 1)));
        [
            self.keys.floats::<FMA>(here.clone(), next.clone(), keys),
            self.values.floats::<FMA>(here, next, values),
        ]
    }
}

for_the_machine!(
    /// The outputs of up to [`NEAR`] queries.
    fn attend(q: &[f32], rows: &[Row], blocks: Blocks, room: &mut [Vec<f32>; 2], out: &mut [f32]) = attend_near
);

#[inline(always)]
fn attend_near<const FMA: bool>(
    q: &[f32],
    rows: &[Row],
    blocks: Blocks,
    room: &mut [Vec<f32>; 2],
    out: &mut [f32],
) {
    let head_dim = blocks.head_dim;
    let mut sums = [Softmax { largest: f32::MIN, total: 0.0 }; NEAR];
    out.fill(0.0);
    let first = rows.iter().map(|row| row.first).min().unwrap_or(0) / BLOCK;
    let end = rows.iter().map(|row| row.end).max().unwrap_or(0).div_ceil(BLOCK);
    for block in first..end {
        let near = blocks.at::<FMA>(block, room);
        let mut first = 0;
        while first < rows.len() {
            let few = match rows.len() - first {
                ROWS.. => ROWS,
                3.. => 3,
                _ => 1,
            };
            let (rows, sums) = (&rows[first..first + few], &mut sums[first..first + few]);
            let out = &mut out[first * head_dim..(first + few) * head_dim];
            first += few;
            if rows.iter().all(|row| row.end <= block * BLOCK) {
                continue; // what nobody sees adds nothing
            }
            match *rows {
                [a] => attend_block::<FMA, 1>(q, [a], near, block, sums, out),
                [a, b, c] => attend_block::<FMA, 3>(q, [a, b, c], near, block, sums, out),
                _ => {
                    let rows = *rows.first_chunk().expect("as many as fit the registers");
                    attend_block::<FMA, ROWS>(q, rows, near, block, sums, out);
                }
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(head_dim)) {
        let inverse = 1.0 / sums.total;
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// What a softmax has seen so far.
#[derive(Debug, Clone, Copy)]
struct Softmax {
    largest: f32,
    total: f32,
}

/// Adds one block to the outputs of `N` queries.
#[inline(always)]
fn attend_block<const FMA: bool, const N: usize>(
    q: &[f32],
    rows: [Row; N],
    [keys, values]: [&[f32]; 2],
    block: usize,
    sums: &mut [Softmax],
    out: &mut [f32],
) {
    let head_dim = values.len() / BLOCK;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let queries = rows.map(|row| &q[row.at..row.at + head_dim]);
    let mut scores = [[0f32; BLOCK]; N];
    for half in (0..BLOCK).step_by(LANES) {
        let sums = product::<FMA, N>(head_dim, (queries, 1), (&keys[half..], BLOCK), [[0.0; LANES]; N]);
        for n in 0..N {
            scores[n][half..half + LANES].copy_from_slice(&sums[n]);
        }
    }
    for n in 0..N {
        let seen = rows[n].first.saturating_sub(block * BLOCK)..rows[n].end.saturating_sub(block * BLOCK);
        if seen.start > 0 || seen.end < BLOCK {
            for (i, score) in scores[n].iter_mut().enumerate() {
                *score = if seen.contains(&i) { *score } else { f32::NEG_INFINITY };
            }
        }
        let mut lanes = [f32::NEG_INFINITY; 8];
        for scores in scores[n].as_chunks::<8>().0 {
            for i in 0..8 {
                lanes[i] = if scores[i] > lanes[i] { scores[i] } else { lanes[i] };
            }
        }
        // Scaled after the maximum: the scale is positive.
        let max = lanes.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a }) * scale;
        let max = if max > sums[n].largest { max } else { sums[n].largest };
        let shrink = exp::<FMA>(sums[n].largest - max);
        sums[n].largest = max;
        // One plain loop, which becomes vectors; one that also sums does not.
        for score in &mut scores[n] {
            *score = exp::<FMA>(fma::<FMA>(*score, scale, -max));
        }
        let mut lanes = [0f32; 8];
        for scores in scores[n].as_chunks::<8>().0 {
            for i in 0..8 {
                lanes[i] += scores[i];
            }
        }
        sums[n].total = fma::<FMA>(sums[n].total, shrink, lanes.iter().sum());
        for out in &mut out[n * head_dim..(n + 1) * head_dim] {
            *out *= shrink;
        }
    }
    // A value that a query does not see may be infinite (see `BlockPool`), and 0 · ∞ is no number: each query
    // multiplies those before its end only, together with the others as far as all of them see.
    let seen = rows.map(|row| row.end.saturating_sub(block * BLOCK).min(BLOCK));
    let common = seen.into_iter().min().unwrap_or(0);
    let weights: [&[f32]; N] = std::array::from_fn(|n| &scores[n][..]);
    let whole = head_dim / LANES * LANES;
    for column in (0..whole).step_by(LANES) {
        let sums = std::array::from_fn(|n| *out[n * head_dim + column..].first_chunk().expect("16 columns"));
        let mut sums = product::<FMA, N>(common, (weights, 1), (&values[column..], head_dim), sums);
        for n in 0..N {
            if seen[n] > common {
                let (weights, values) = ([&weights[n][common..]], &values[common * head_dim + column..]);
                let rest = seen[n] - common;
                [sums[n]] = product::<FMA, 1>(rest, (weights, 1), (values, head_dim), [sums[n]]);
            }
            out[n * head_dim + column..][..LANES].copy_from_slice(&sums[n]);
        }
    }
    for n in 0..N {
        for (position, weight) in scores[n][..seen[n]].iter().enumerate() {
            let values = &values[position * head_dim..(position + 1) * head_dim];
            for column in whole..head_dim {
                let out = &mut out[n * head_dim + column];
                *out = fma::<FMA>(*weight, values[column], *out);
            }
        }
    }
}
