//! Causal attention of whole sequences, packed end to end, with its backward pass: what training wants.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Scalar, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Slice, Tensor, TensorData};

use super::paged::{PagedSequence, Pages};

/// `q [tokens, heads, head_dim]`, `k`, `v [tokens, kv_heads, head_dim]`; every chunk of `pages` is a
/// sequence of its own from its first token on.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait CausalOps: Backend {
    /// `softmax(q · kᵀ / sqrt(head_dim)) · v` of every token over those before it and itself.
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: Arc<Pages>,
    ) -> FloatTensor<Self> {
        let heads = by_kv_head::<Self>(&k, &q);
        let outputs = pages.sequences().iter().map(|chunk| {
            let [q, k, v] = [&q, &k, &v].map(|x| heads.part(x.clone(), chunk));
            let p = heads.weights(q, k, chunk.len, pages.window());
            heads.whole(Self::float_matmul(p, v), chunk.len)
        });
        Self::float_cat(outputs.collect(), 0)
    }

    /// The gradients by `q`, `k` and `v`; `y` is what [`CausalOps::causal_attention`] gave.
    fn causal_attention_backward(
        dy: FloatTensor<Self>,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        y: FloatTensor<Self>,
        pages: Arc<Pages>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let heads = by_kv_head::<Self>(&k, &q);
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in pages.sequences() {
            let [q, k, v, y, dy] = [&q, &k, &v, &y, &dy].map(|x| heads.part(x.clone(), chunk));
            let p = heads.weights(q.clone(), k.clone(), chunk.len, pages.window());
            let dp = Self::float_matmul(dy.clone(), Self::float_swap_dims(v, 1, 2));
            let along = Self::float_sum_dim(Self::float_mul(dy.clone(), y), 2);
            let ds = Self::float_mul(p.clone(), Self::float_sub(dp, along));
            let ds = Self::float_mul_scalar(ds, heads.scale());
            dq.push(heads.whole(Self::float_matmul(ds.clone(), k), chunk.len));
            dk.push(heads.whole(Self::float_matmul(Self::float_swap_dims(ds, 1, 2), q), chunk.len));
            dv.push(heads.whole(Self::float_matmul(Self::float_swap_dims(p, 1, 2), dy), chunk.len));
        }
        (Self::float_cat(dq, 0), Self::float_cat(dk, 0), Self::float_cat(dv, 0))
    }
}

/// The shapes of one attention, for the default bodies.
struct ByKvHead<B> {
    kv_heads: usize,
    head_dim: usize,
    group: usize,
    backend: std::marker::PhantomData<B>,
}

fn by_kv_head<B: Backend>(k: &FloatTensor<B>, q: &FloatTensor<B>) -> ByKvHead<B> {
    let ([_, heads, head_dim], [_, kv_heads, _]) = (q.shape().dims(), k.shape().dims());
    ByKvHead { kv_heads, head_dim, group: heads / kv_heads, backend: std::marker::PhantomData }
}

impl<B: Backend> ByKvHead<B> {
    fn scale(&self) -> Scalar {
        Scalar::from(1.0 / (self.head_dim as f32).sqrt())
    }

    /// A sequence's rows of `x`, `[kv_heads, group · len, head_dim]` (a group of 1 for keys and values).
    fn part(&self, x: FloatTensor<B>, chunk: &PagedSequence) -> FloatTensor<B> {
        let [_, heads, head_dim] = x.shape().dims();
        let all = |len: usize| Slice::from(0..len as isize);
        let tokens = Slice::from(chunk.start as isize..(chunk.start + chunk.len) as isize);
        let x = B::float_slice(x, &[tokens, all(heads), all(head_dim)]);
        let group = heads / self.kv_heads;
        let x = B::float_reshape(x, Shape::new([chunk.len, self.kv_heads, group, head_dim]));
        let x = B::float_permute(x, &[1, 2, 0, 3]);
        B::float_reshape(x, Shape::new([self.kv_heads, group * chunk.len, head_dim]))
    }

    /// The inverse of [`ByKvHead::part`].
    fn whole(&self, x: FloatTensor<B>, len: usize) -> FloatTensor<B> {
        let [_, rows, _] = x.shape().dims();
        let x = B::float_reshape(x, Shape::new([self.kv_heads, rows / len, len, self.head_dim]));
        let x = B::float_permute(x, &[2, 0, 1, 3]);
        B::float_reshape(x, Shape::new([len, self.kv_heads * (rows / len), self.head_dim]))
    }

    /// `[kv_heads, group · len, len]`
    fn weights(
        &self,
        q: FloatTensor<B>,
        k: FloatTensor<B>,
        len: usize,
        window: Option<usize>,
    ) -> FloatTensor<B> {
        let device = q.device();
        let mut unseen = vec![0f32; len * len];
        for (position, row) in unseen.chunks_exact_mut(len).enumerate() {
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            for (other, unseen) in row.iter_mut().enumerate() {
                *unseen = if (first..=position).contains(&other) { 0.0 } else { f32::NEG_INFINITY };
            }
        }
        let unseen = B::float_from_data(TensorData::new(unseen, [1, 1, len, len]), &device);
        let scores = B::float_mul_scalar(B::float_matmul(q, B::float_swap_dims(k, 1, 2)), self.scale());
        let scores = B::float_reshape(scores, Shape::new([self.kv_heads, self.group, len, len]));
        let weights = B::softmax(B::float_add(scores, unseen), 3);
        B::float_reshape(weights, Shape::new([self.kv_heads, self.group * len, len]))
    }
}

#[derive(Debug)]
struct CausalBackward;

impl<B: CausalOps> Backward<B, 3> for CausalBackward {
    type State = ([FloatTensor<B>; 4], Arc<Pages>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([q, k, v, y], pages) = ops.state;
        let (dq, dk, dv) = B::causal_attention_backward(grads.consume::<B>(&ops.node), q, k, v, y, pages);
        for (parent, gradient) in ops.parents.into_iter().zip([dq, dk, dv]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: CausalOps, C: CheckpointStrategy> CausalOps for Autodiff<B, C> {
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: Arc<Pages>,
    ) -> FloatTensor<Self> {
        let nodes = [q.node(), k.node(), v.node()];
        let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
        let y = B::causal_attention(q.clone(), k.clone(), v.clone(), pages.clone());
        match CausalBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([q, k, v, y.clone()], pages), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// Causal attention of whole sequences, packed end to end.
///
/// `y = softmax(q · kᵀ / sqrt(head_dim)) · v` of every token over the last `window` tokens of its sequence, itself
/// included; over all of them if there is no window
///
/// # Shapes
/// - `q`: `[tokens, heads, head_dim]`
/// - `k`, `v`: `[tokens, kv_heads, head_dim]`; query head `h` reads key/value head `h / (heads / kv_heads)`
/// - `lens`: the sequences' tokens
/// - returns `[tokens, heads, head_dim]`
///
/// # Panics
/// If the shapes do not fit, or `lens` are not `tokens` in all.
///
/// Source: Ainslie et al. 2023, arXiv:2305.13245.
pub fn causal_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    lens: &[usize],
    window: Option<usize>,
) -> Tensor<3> {
    attention(q, k, v, &Arc::new(Pages::of_whole(lens, window)))
}

/// As [`causal_attention`], of the sequences of `pages`.
pub(crate) fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, pages: &Arc<Pages>) -> Tensor<3> {
    let ([tokens, heads, head_dim], [_, kv_heads, _]) = (q.dims(), k.dims());
    assert_eq!(tokens, pages.tokens(), "{tokens} queries, the sequences have {} tokens", pages.tokens());
    assert_eq!(
        [k.dims(), v.dims()],
        [[tokens, kv_heads, head_dim]; 2],
        "keys and values of other tokens or heads"
    );
    assert!(heads.is_multiple_of(kv_heads), "{heads} query heads over {kv_heads} key/value heads");
    Tensor::from_dispatch(Dispatch::causal_attention(
        q.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        pages.clone(),
    ))
}
