//! Products with a dense frozen matrix: a backend extension whose default bodies are burn's own products.

use crate::span::span;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// Ops on `weight [out, in]` in f32. With the CPU's kernels a row's result has the same bits alone and among others.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait DenseOps: Backend {
    /// `y = x · Wᵀ`: `x [tokens, in]` → `[tokens, out]`.
    fn dense_matmul(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, Self::float_transpose(weight))
    }

    /// `dx = dy · W`: `dy [tokens, out]` → `[tokens, in]`.
    fn dense_matmul_transposed(dy: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(dy, weight)
    }
}

/// The weight is frozen: only `x` has a gradient, `dx = dy · W`.
#[derive(Debug)]
struct FrozenMatmul;

impl<B: DenseOps> Backward<B, 1> for FrozenMatmul {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let weight = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::dense_matmul_transposed(dy, weight));
    }
}

impl<B: DenseOps, C: CheckpointStrategy> DenseOps for Autodiff<B, C> {
    fn dense_matmul(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let weight = weight.into_primitive();
        let y = B::dense_matmul(x.into_primitive(), weight.clone());
        match FrozenMatmul.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(weight, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// `y = x · Wᵀ`; `weight` has no gradient.
///
/// # Shapes
/// - `x`: `[tokens, in]`
/// - `weight`: `[out, in]`
/// - returns `[tokens, out]`
///
/// # Panics
/// If `x` and `weight` differ in their number of columns.
pub(crate) fn matmul(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    span!("dense_matmul");
    let ([_tokens, cols], [_out, inputs]) = (x.dims(), weight.dims());
    assert_eq!(cols, inputs, "x has {cols} columns, the matrix {inputs}");
    Tensor::from_dispatch(Dispatch::dense_matmul(x.into_dispatch(), weight.into_dispatch()))
}

/// `dx = dy · W`.
///
/// # Shapes
/// - `dy`: `[tokens, out]`
/// - `weight`: `[out, in]`
/// - returns `[tokens, in]`
///
/// # Panics
/// If `dy` has not as many columns as `weight` rows.
pub(crate) fn matmul_transposed(dy: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    span!("dense_matmul_transposed");
    let ([_tokens, cols], [out, _inputs]) = (dy.dims(), weight.dims());
    assert_eq!(cols, out, "dy has {cols} columns, the matrix {out} rows");
    Tensor::from_dispatch(Dispatch::dense_matmul_transposed(dy.into_dispatch(), weight.into_dispatch()))
}
