//! Attention of one sequence with a backend's ordinary ops, and its gradients: what every kernel is tested against,
//! and what a backend without kernels runs.

use std::ops::Range;

use burn::backend::tensor::{BoolTensor, Device, FloatTensor};
use burn::backend::{Backend, Scalar, TensorMetadata, get_device_settings};
use burn::tensor::{IntDType, Shape, Slice};

/// Attention of the last `tokens` positions of a sequence over all of its `context` positions.
///
/// `y = softmax(q · kᵀ / sqrt(head_dim)) · v` over the positions that a token sees: those up to its own, and of these
/// the last `window`
///
/// Where:
/// - query head `h` reads key/value head `h / (heads / kv_heads)`
///
/// # Shapes
/// - `q`: `[tokens, heads, head_dim]`
/// - `k`, `v`: `[context, kv_heads, head_dim]`
/// - returns `[tokens, heads, head_dim]`
///
/// Source: Ainslie et al. 2023, arXiv:2305.13245.
pub(crate) fn attention<B: Backend>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    window: Option<usize>,
) -> FloatTensor<B> {
    let ([tokens, _, _], [_, kv_heads, _]) = (q.shape().dims(), k.shape().dims());
    let [q, k, v] = [q, k, v].map(|x| by_kv_head::<B>(x, kv_heads));
    let p = weights::<B>(q, k, tokens, window); // [kv_heads, group · tokens, context]
    by_token::<B>(B::float_matmul(p, v), tokens)
}

/// The gradients of [`attention`] by `q`, `k` and `v`, given its result `y` and the gradient `dy` by it.
///
/// `dV = Pᵀ · dY`, `dS = P ∘ (dY · Vᵀ − rowsum(dY ∘ Y)) / sqrt(head_dim)`, `dQ = dS · K`, `dK = dSᵀ · Q`
///
/// Where:
/// - `P`: the softmax's weights
///
/// Source: Dao et al. 2022, arXiv:2205.14135, appendix B.2.
pub(crate) fn attention_backward<B: Backend>(
    dy: FloatTensor<B>,
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    y: FloatTensor<B>,
    window: Option<usize>,
) -> [FloatTensor<B>; 3] {
    let ([tokens, _, _], [context, kv_heads, _]) = (q.shape().dims(), k.shape().dims());
    let [dy, q, k, v, y] = [dy, q, k, v, y].map(|x| by_kv_head::<B>(x, kv_heads));
    let p = weights::<B>(q.clone(), k.clone(), tokens, window);
    let dp = B::float_matmul(dy.clone(), B::float_swap_dims(v, 1, 2));
    let along = B::float_sum_dim(B::float_mul(dy.clone(), y), 2);
    let ds = B::float_mul(p.clone(), B::float_sub(dp, along));
    let ds = B::float_mul_scalar(ds, scale::<B>(&q));
    let dq = B::float_matmul(ds.clone(), k);
    let dk = B::float_matmul(B::float_swap_dims(ds, 1, 2), q);
    let dv = B::float_matmul(B::float_swap_dims(p, 1, 2), dy);
    [by_token::<B>(dq, tokens), by_token::<B>(dk, context), by_token::<B>(dv, context)]
}

/// The rows `tokens` of `x [all tokens, heads, head_dim]`.
pub(crate) fn of_tokens<B: Backend>(x: &FloatTensor<B>, tokens: Range<usize>) -> FloatTensor<B> {
    let [_, heads, head_dim] = x.shape().dims();
    let slices =
        [tokens, 0..heads, 0..head_dim].map(|range| Slice::from(range.start as isize..range.end as isize));
    B::float_slice(x.clone(), &slices)
}

/// `[tokens, heads, head_dim]` → `[kv_heads, group · tokens, head_dim]` (a group of 1 for keys and values).
fn by_kv_head<B: Backend>(x: FloatTensor<B>, kv_heads: usize) -> FloatTensor<B> {
    let [tokens, heads, head_dim] = x.shape().dims();
    let group = heads / kv_heads;
    let x = B::float_reshape(x, Shape::new([tokens, kv_heads, group, head_dim]));
    let x = B::float_permute(x, &[1, 2, 0, 3]);
    B::float_reshape(x, Shape::new([kv_heads, group * tokens, head_dim]))
}

/// The inverse of [`by_kv_head`].
fn by_token<B: Backend>(x: FloatTensor<B>, tokens: usize) -> FloatTensor<B> {
    let [kv_heads, rows, head_dim] = x.shape().dims();
    let x = B::float_reshape(x, Shape::new([kv_heads, rows / tokens, tokens, head_dim]));
    let x = B::float_permute(x, &[2, 0, 1, 3]);
    B::float_reshape(x, Shape::new([tokens, kv_heads * (rows / tokens), head_dim]))
}

/// The factor of scores, `1 / sqrt(head_dim)`.
fn scale<B: Backend>(q: &FloatTensor<B>) -> Scalar {
    let [_, _, head_dim] = q.shape().dims();
    Scalar::from(1.0 / (head_dim as f32).sqrt())
}

/// The softmax's weights: `q [kv_heads, group · tokens, head_dim]`, `k [kv_heads, context, head_dim]` →
/// `[kv_heads, group · tokens, context]`.
fn weights<B: Backend>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    tokens: usize,
    window: Option<usize>,
) -> FloatTensor<B> {
    let ([kv_heads, rows, _], [_, context, _]) = (q.shape().dims(), k.shape().dims());
    let scale = scale::<B>(&q);
    let unseen = unseen::<B>(tokens, context, window, &q.device());
    let shape = Shape::new([kv_heads, rows / tokens, tokens, context]);
    let scores = B::float_mul_scalar(B::float_matmul(q, B::float_swap_dims(k, 1, 2)), scale);
    let scores = B::float_reshape(scores, shape.clone());
    let scores = B::float_mask_fill(scores, B::bool_expand(unseen, shape), Scalar::from(f32::NEG_INFINITY));
    B::float_reshape(B::softmax(scores, 3), Shape::new([kv_heads, rows, context]))
}

/// Which of `context` positions each of the last `tokens` does not see, `[1, 1, tokens, context]`; made on the device.
fn unseen<B: Backend>(
    tokens: usize,
    context: usize,
    window: Option<usize>,
    device: &Device<B>,
) -> BoolTensor<B> {
    let range = |from: usize| B::int_arange(from as i64..context as i64, device, IntDType::I32);
    let own = B::int_expand(
        B::int_reshape(range(context - tokens), Shape::new([tokens, 1])),
        Shape::new([tokens, context]),
    );
    let other =
        B::int_expand(B::int_reshape(range(0), Shape::new([1, context])), Shape::new([tokens, context]));
    let before = B::int_sub(other, own); // at most 0 where it is seen
    let bools = get_device_settings::<B>(device).bool_dtype;
    let after = B::int_greater_elem(before.clone(), Scalar::Int(0), bools);
    let unseen = match window {
        Some(window) => {
            let far = B::int_lower_equal_elem(before, Scalar::Int(-(window as i64)), bools);
            B::bool_or(after, far)
        }
        None => after,
    };
    B::bool_reshape(unseen, Shape::new([1, 1, tokens, context]))
}
