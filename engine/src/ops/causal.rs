//! Causal attention of whole sequences, packed end to end, with its backward pass: what training wants.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::attention::{self, of_tokens};
use super::paged::{DevicePages, Pages, StepPages};
use crate::span::span;

/// `q [tokens, heads, head_dim]`, `k`, `v [tokens, kv_heads, head_dim]`; every chunk of `pages` is a
/// sequence of its own from its first token on.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait CausalOps: Backend {
    /// `softmax(q · kᵀ / sqrt(head_dim)) · v` of every token over those before it and itself.
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        #[extension_type] pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        let outputs = pages.host.sequences().iter().map(|chunk| {
            let [q, k, v] = [&q, &k, &v].map(|x| of_tokens::<Self>(x, chunk.tokens()));
            attention::attention::<Self>(q, k, v, pages.host.window())
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
        #[extension_type] pages: DevicePages<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in pages.host.sequences() {
            let [dy, q, k, v, y] = [&dy, &q, &k, &v, &y].map(|x| of_tokens::<Self>(x, chunk.tokens()));
            let gradients = attention::attention_backward::<Self>(dy, q, k, v, y, pages.host.window());
            for (all, gradient) in [&mut dq, &mut dk, &mut dv].into_iter().zip(gradients) {
                all.push(gradient);
            }
        }
        (Self::float_cat(dq, 0), Self::float_cat(dk, 0), Self::float_cat(dv, 0))
    }
}

#[derive(Debug)]
struct CausalBackward;

impl<B: CausalOps> Backward<B, 3> for CausalBackward {
    type State = ([FloatTensor<B>; 4], DevicePages<B>);

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
        pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        // The same tensors for the backend below: integers have no gradients.
        let DevicePages { host, tokens, blocks } = pages;
        let pages = DevicePages { host, tokens, blocks };
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
    let pages = StepPages::new(Pages::of_whole(lens, window), &q.device());
    attention(q, k, v, &pages)
}

/// As [`causal_attention`], of the sequences of `pages`.
pub(crate) fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, pages: &StepPages) -> Tensor<3> {
    span!("causal_attention");
    let ([tokens, heads, head_dim], [_, kv_heads, _]) = (q.dims(), k.dims());
    assert_eq!(tokens, pages.count(), "{tokens} queries, the sequences have {} tokens", pages.count());
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
        pages.to_dispatch(),
    ))
}
