//! The paged cache: writing to it, and attention over it.

use burn::backend::{DType, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use half::f16;

use super::launch::{cubes, elements, empty_like, input, output};
use crate::ops::paged::BLOCK;

/// Where the tokens of a step lie, on the device.
pub(super) struct Places<'a> {
    /// Each token's sequence and its position there, `[tokens, 2]`.
    pub tokens: &'a CubeTensor,
    /// Each sequence's blocks, padded: `[sequences, most blocks]`.
    pub blocks: &'a CubeTensor,
}

impl Places<'_> {
    fn most_blocks(&self) -> usize {
        let [_, most] = self.blocks.shape().dims();
        most
    }
}

#[cube(launch)]
fn write_elements<F: Float>(
    k: &[f32],
    v: &[f32],
    tokens: &[i32],
    blocks: &[i32],
    keys: &mut [F],
    values: &mut [F],
    count: usize,
    kv_heads: usize,
    head_dim: usize,
    most_blocks: usize,
    largest: f32,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        let channel = at % head_dim;
        let head = at / head_dim % kv_heads;
        let token = at / head_dim / kv_heads;
        let position = tokens[2 * token + 1] as usize;
        let sequence = tokens[2 * token] as usize;
        let block = blocks[sequence * most_blocks + position / BLOCK] as usize;
        let place = position % BLOCK;
        let heads = block * kv_heads + head;
        keys[(heads * head_dim + channel) * BLOCK + place] = F::cast_from(k[at].clamp(-largest, largest));
        values[(heads * BLOCK + place) * head_dim + channel] = F::cast_from(v[at].clamp(-largest, largest));
    }
}

/// Writes `k`, `v [tokens, kv_heads, head_dim]` to their places, in place where nobody else holds the cache.
pub(super) fn write(
    keys: CubeTensor,
    values: CubeTensor,
    k: &CubeTensor,
    v: &CubeTensor,
    places: &Places,
) -> (CubeTensor, CubeTensor) {
    let own = |memory: CubeTensor| if memory.can_mut() { memory } else { memory.copy() };
    let (keys, values) = (own(keys), own(values));
    // An infinity in a block would spoil the sums of all that see it, so what a number of the cache cannot hold becomes
    // the largest that it can.
    match keys.dtype() {
        DType::F16 => write_as::<f16>(&keys, &values, [k, v], places, f16::MAX.to_f32()),
        _ => write_as::<f32>(&keys, &values, [k, v], places, f32::MAX),
    }
    (keys, values)
}

fn write_as<F: Float + CubeElement>(
    keys: &CubeTensor,
    values: &CubeTensor,
    [k, v]: [&CubeTensor; 2],
    places: &Places,
    largest: f32,
) {
    let [tokens, kv_heads, head_dim] = k.shape().dims();
    let count = tokens * kv_heads * head_dim;
    let (cubes, units) = elements(count);
    write_elements::launch::<F>(
        &k.client,
        cubes,
        units,
        input(k),
        input(v),
        input(places.tokens),
        input(places.blocks),
        output(keys),
        output(values),
        count,
        kv_heads,
        head_dim,
        places.most_blocks(),
        largest,
    );
}

/// A cube computes a head of a token, its units the positions of a block, and then the channels.
#[cube(launch)]
fn attend_heads<F: Float>(
    q: &[f32],
    keys: &[F],
    values: &[F],
    tokens: &[i32],
    blocks: &[i32],
    y: &mut [f32],
    count: usize,
    most_blocks: usize,
    window: usize,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] head_dim: usize,
) {
    let unit = UNIT_POS as usize;
    let at = CUBE_POS;
    let channels = comptime!(head_dim.div_ceil(BLOCK)); // of a unit
    let mut query = Shared::<[f32]>::new_slice(head_dim);
    let mut scores = Shared::<[f32]>::new_slice(BLOCK);
    if at < count {
        let (token, head) = (at / heads, at % heads);
        let kv_head = head / comptime!(heads / kv_heads);
        let sequence = tokens[2 * token] as usize;
        let end = tokens[2 * token + 1] as usize + 1; // positions that it sees, from `start` on
        let start = select(end > window, end - window, 0);

        let mut sums = Array::<f32>::new(channels);
        #[unroll]
        for part in 0..channels {
            sums[part] = 0.0f32;
            let channel = part * BLOCK + unit;
            if channel < head_dim {
                query[channel] = q[at * head_dim + channel] * scale;
            }
        }
        sync_cube();

        let mut largest = f32::new(f32::MIN);
        let mut total = 0.0f32;
        for index in start / BLOCK..end.div_ceil(BLOCK) {
            let block = blocks[sequence * most_blocks + index] as usize * kv_heads + kv_head;
            // What this block has of the positions seen; the others may hold anything, even NaN.
            let first = select(start > index * BLOCK, start - index * BLOCK, 0);
            let last = select(end < (index + 1) * BLOCK, end - index * BLOCK, BLOCK);
            let seen = unit >= first && unit < last;
            let mut score = f32::new(f32::MIN);
            if seen {
                score = f32::new(0.0);
                for channel in 0..head_dim {
                    let key = f32::cast_from(keys[(block * head_dim + channel) * BLOCK + unit]);
                    score += query[channel] * key;
                }
            }
            scores[unit] = score;
            sync_cube();
            let mut higher = largest;
            for place in first..last {
                higher = higher.max(scores[place]);
            }
            sync_cube();
            scores[unit] = (score - higher).exp();
            sync_cube();
            let kept = (largest - higher).exp();
            largest = higher;
            total *= kept;
            #[unroll]
            for part in 0..channels {
                sums[part] *= kept;
            }
            for place in first..last {
                let weight = scores[place];
                total += weight;
                #[unroll]
                for part in 0..channels {
                    let channel = part * BLOCK + unit;
                    if channel < head_dim {
                        let value = f32::cast_from(values[(block * BLOCK + place) * head_dim + channel]);
                        sums[part] += weight * value;
                    }
                }
            }
            sync_cube();
        }
        #[unroll]
        for part in 0..channels {
            let channel = part * BLOCK + unit;
            if channel < head_dim {
                y[at * head_dim + channel] = sums[part] / total;
            }
        }
    }
}

/// Attention of every token over the positions it sees: `q [tokens, heads, head_dim]`, in its shape. A softmax over a
/// block at a time, of which only the largest score and the sums so far are kept.
///
/// Source: Milakov & Gimelshein 2018, arXiv:1805.02867.
pub(super) fn attention(
    q: &CubeTensor,
    keys: &CubeTensor,
    values: &CubeTensor,
    places: &Places,
    window: Option<usize>,
) -> CubeTensor {
    match keys.dtype() {
        DType::F16 => attend::<f16>(q, keys, values, places, window),
        _ => attend::<f32>(q, keys, values, places, window),
    }
}

fn attend<F: Float + CubeElement>(
    q: &CubeTensor,
    keys: &CubeTensor,
    values: &CubeTensor,
    places: &Places,
    window: Option<usize>,
) -> CubeTensor {
    let ([tokens, heads, head_dim], [_, kv_heads, _, _]) = (q.shape().dims(), keys.shape().dims());
    let y = empty_like(q);
    attend_heads::launch::<F>(
        &q.client,
        cubes(tokens * heads),
        CubeDim::new_1d(BLOCK as u32),
        input(q),
        input(keys),
        input(values),
        input(places.tokens),
        input(places.blocks),
        output(&y),
        tokens * heads,
        places.most_blocks(),
        window.unwrap_or(i32::MAX as usize),
        1.0 / (head_dim as f32).sqrt(),
        heads,
        kv_heads,
        head_dim,
    );
    y
}
