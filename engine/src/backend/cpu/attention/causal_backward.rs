//! The backward pass of causal attention.
//!
//! With `P = softmax(q · kᵀ · scale)` and `y = P · v`:
//!
//! ```text
//! dv = Pᵀ · dy
//! dS = P ∘ (dy · vᵀ − Σ dy ∘ y) · scale
//! dq = dS · k        dk = dSᵀ · q
//! ```
//!
//! 32 queries of a head at a time, over all the keys they see: what is kept of `P` fits the second cache.
//!
//! Source: Dao et al. 2022, arXiv:2205.14135, appendix B.

use crate::backend::cpu::attention::paged::Heads;
use crate::backend::cpu::dense::panel::{LANES, View, multiply};
use crate::backend::cpu::elementwise::{dot, exp};
use crate::backend::cpu::instructions::{fma, for_the_machine};
use crate::backend::cpu::memory::shared_slice::SharedSlice;
use crate::backend::cpu::threads::pool;
use crate::ops::paged::Pages;

/// Queries of a head at a time.
const QUERIES: usize = 32;

/// What went in and came out, and the gradient of the latter.
#[derive(Clone, Copy)]
pub(crate) struct Forward<'a> {
    /// `[tokens, heads, head_dim]`
    pub q: &'a [f32],
    /// `[tokens, kv_heads, head_dim]`
    pub k: &'a [f32],
    /// `[tokens, kv_heads, head_dim]`
    pub v: &'a [f32],
    /// `[tokens, heads, head_dim]`
    pub y: &'a [f32],
    /// `[tokens, heads, head_dim]`
    pub dy: &'a [f32],
}

/// The gradients by `q`, `k` and `v`, where every chunk of `pages` is a whole sequence.
pub(crate) fn backward(x: Forward, shape: Heads, pages: &Pages) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let Heads { heads, kv_heads, head_dim } = shape;
    let len = |heads: usize| pages.tokens() * heads * head_dim;
    assert_eq!([x.q.len(), x.y.len(), x.dy.len()], [len(heads); 3], "queries of other tokens");
    assert_eq!([x.k.len(), x.v.len()], [len(kv_heads); 2], "keys and values of other tokens");
    let [mut dq, mut dk, mut dv] = [x.q, x.k, x.v].map(|x| vec![0f32; x.len()]);
    let out = Out {
        dq: SharedSlice::over(&mut dq),
        dk: SharedSlice::over(&mut dk),
        dv: SharedSlice::over(&mut dv),
    };
    pool::run(pages.sequences().len() * shape.kv_heads, &|task| {
        let chunk = &pages.sequences()[task / shape.kv_heads];
        let part = Part { start: chunk.start, len: chunk.len, kv_head: task % shape.kv_heads };
        one_head(x, shape, part, pages.window(), &out);
    });
    (dq, dk, dv)
}

struct Out<'a> {
    dq: SharedSlice<'a, f32>,
    dk: SharedSlice<'a, f32>,
    dv: SharedSlice<'a, f32>,
}

/// A sequence's tokens in the batch, and one of its key/value heads.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    len: usize,
    kv_head: usize,
}

for_the_machine!(
    /// A sequence's gradients of one key/value head and of the query heads that read it.
    fn one_head(x: Forward, shape: Heads, part: Part, window: Option<usize>, out: &Out) = one_head_of
);

#[inline(always)]
fn one_head_of<const FMA: bool>(x: Forward, shape: Heads, part: Part, window: Option<usize>, out: &Out) {
    let Heads { heads, kv_heads, head_dim } = shape;
    let Part { start, len, kv_head } = part;
    let (group, scale) = (heads / kv_heads, 1.0 / (head_dim as f32).sqrt());
    let (q_row, k_row) = (heads * head_dim, kv_heads * head_dim);
    let k_at = (start * kv_heads + kv_head) * head_dim;
    let padded = len.next_multiple_of(LANES);
    let (kt, vt) =
        (transposed(&x.k[k_at..], k_row, [len, head_dim]), transposed(&x.v[k_at..], k_row, [len, head_dim]));
    // Rows of a power of two would all fall into the same lines of the first cache.
    let stride = padded + LANES;
    let (mut p, mut ds) = (vec![0f32; QUERIES * stride], vec![0f32; QUERIES * stride]);
    let (mut dk, mut dv) = (vec![0f32; len * head_dim], vec![0f32; len * head_dim]);
    let mut dq = vec![0f32; QUERIES * head_dim];

    for head in kv_head * group..(kv_head + 1) * group {
        for first in (0..len).step_by(QUERIES) {
            let queries = QUERIES.min(len - first);
            let seen = first + queries;
            let wide = seen.next_multiple_of(LANES);
            let at = ((start + first) * heads + head) * head_dim;
            let (q, dy) = (&x.q[at..], &x.dy[at..]); // [queries, head_dim], rows `q_row` apart
            let rows = |values| View { values, row: q_row, column: 1 };

            p.fill(0.0);
            multiply::<FMA>([queries, head_dim, wide], rows(q), (&kt, padded), (&mut p, stride));
            ds.fill(0.0);
            multiply::<FMA>([queries, head_dim, wide], rows(dy), (&vt, padded), (&mut ds, stride));
            for i in 0..queries {
                let end = first + i + 1;
                let begin = window.map_or(0, |window| end.saturating_sub(window));
                let (p, ds) = (&mut p[i * stride..][..wide], &mut ds[i * stride..][..wide]);
                softmax::<FMA>(p, begin, end, scale);
                let along = dot::<FMA>(&dy[i * q_row..][..head_dim], &x.y[at + i * q_row..][..head_dim]);
                for (ds, p) in ds.iter_mut().zip(p) {
                    *ds = *p * (*ds - along) * scale;
                }
            }

            dq.fill(0.0);
            let by_query = View { values: &ds, row: stride, column: 1 };
            multiply::<FMA>([queries, seen, head_dim], by_query, (&x.k[k_at..], k_row), (&mut dq, head_dim));
            for (i, dq) in dq.chunks_exact(head_dim).take(queries).enumerate() {
                // SAFETY: this head of this query, which is this task's alone: sequences have no token in common.
                unsafe { out.dq.write(at + i * q_row, dq) };
            }
            let by_key = |values| View { values, row: 1, column: stride };
            multiply::<FMA>([seen, queries, head_dim], by_key(&ds), (q, q_row), (&mut dk, head_dim));
            multiply::<FMA>([seen, queries, head_dim], by_key(&p), (dy, q_row), (&mut dv, head_dim));
        }
    }
    for (i, (dk, dv)) in dk.chunks_exact(head_dim).zip(dv.chunks_exact(head_dim)).enumerate() {
        // SAFETY: this key/value head of this token, which belongs to this task.
        unsafe {
            out.dk.write(k_at + i * k_row, dk);
            out.dv.write(k_at + i * k_row, dv);
        }
    }
}

/// `x [rows, cols]`, its rows `stride` apart, as `[cols, rows]` with rows padded to whole lanes by zeros.
fn transposed(x: &[f32], stride: usize, [rows, cols]: [usize; 2]) -> Vec<f32> {
    let padded = rows.next_multiple_of(LANES);
    let mut y = vec![0f32; cols * padded];
    for row in 0..rows {
        for (column, x) in x[row * stride..][..cols].iter().enumerate() {
            y[column * padded + row] = *x;
        }
    }
    y
}

/// Scores to weights: the softmax of `scale · x[begin..end]`, and zeros around it.
#[inline(always)]
fn softmax<const FMA: bool>(x: &mut [f32], begin: usize, end: usize, scale: f32) {
    x[..begin].fill(0.0);
    x[end..].fill(0.0);
    let x = &mut x[begin..end];
    let max = x.iter().fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max }) * scale;
    for x in x.iter_mut() {
        *x = exp::<FMA>(fma::<FMA>(*x, scale, -max));
    }
    let inverse = 1.0 / x.iter().sum::<f32>();
    x.iter_mut().for_each(|x| *x *= inverse);
}
