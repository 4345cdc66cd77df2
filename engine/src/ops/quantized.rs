//! Products with a block-quantized matrix: a backend extension whose default bodies dequantize with
//! ordinary burn ops and are the reference; `Flex` overrides them with CPU kernels.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::dequantize;
use super::matrices::Matrices;
use crate::quant::Layout;
use crate::span::span;

/// How a quantized matrix multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// Activations rounded to integers, integer dot products within blocks of 32 columns, f32 between blocks:
    /// the fast path. The integers are of two 8-bit digits with a scale a row: with one digit, as in llama.cpp,
    /// the rounding of a short prompt's activations moves its likelihood by up to 0.04 nats a token. K-quants,
    /// whose files are chosen for speed, have one digit, with a scale a block of 32 instead of llama.cpp's 256.
    /// Gradients and the weights they meet are rounded to 14 bits. Formats and backends without it compute
    /// exactly.
    #[default]
    Integer,
    /// The weights dequantized, everything in f32.
    Exact,
}

/// Ops on packed words (see [`Layout`]); all floats are f32.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait QuantizedOps: Backend {
    /// `W [rows, cols]` in f32.
    fn dequantize_packed(words: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        dequantize::dequantize::<Self>(words, layout)
    }

    /// The rows `ids [n]` (i32) of `W`: `[n, cols]`.
    fn dequantize_rows(words: IntTensor<Self>, ids: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        Self::float_select(Self::dequantize_packed(words, layout), 0, ids)
    }

    /// `y = x · Wᵀ` for each of the matrices: `x [tokens, cols]` → `[tokens, rows]` each.
    fn quantized_matmul(
        x: FloatTensor<Self>,
        #[extension_type] matrices: Matrices<Self>,
        _arithmetic: Arithmetic,
    ) -> Vec<FloatTensor<Self>> {
        let product = |(words, layout)| {
            let weight = Self::dequantize_packed(words, layout); // [rows, cols]
            Self::float_matmul(x.clone(), Self::float_transpose(weight))
        };
        matrices.0.into_iter().map(product).collect()
    }

    /// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`.
    fn quantized_matmul_transposed(
        dy: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: Layout,
        _arithmetic: Arithmetic,
    ) -> FloatTensor<Self> {
        Self::float_matmul(dy, Self::dequantize_packed(words, layout))
    }
}

/// The weight is frozen: only `x` has a gradient, `dx = dy · W`.
#[derive(Debug)]
struct FrozenMatmul;

impl<B: QuantizedOps> Backward<B, 1> for FrozenMatmul {
    type State = (IntTensor<B>, Layout, Arithmetic);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (words, layout, arithmetic) = ops.state;
        let by_input = |dy| B::quantized_matmul_transposed(dy, words, layout, arithmetic);
        unary::<B, _>(ops.parents, ops.node, grads, by_input);
    }
}

impl<B: QuantizedOps, C: CheckpointStrategy> QuantizedOps for Autodiff<B, C> {
    fn dequantize_packed(words: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        Self::from_inner(B::dequantize_packed(words, layout))
    }

    fn quantized_matmul(
        x: FloatTensor<Self>,
        matrices: Matrices<Self>,
        arithmetic: Arithmetic,
    ) -> Vec<FloatTensor<Self>> {
        let nodes: Vec<_> = matrices.0.iter().map(|_| x.node()).collect();
        let ys = B::quantized_matmul(x.into_primitive(), Matrices(matrices.0.clone()), arithmetic);
        let tracked =
            |((y, (words, layout)), node)| match FrozenMatmul.prepare::<C>([node]).compute_bound().stateful()
            {
                OpsKind::Tracked(prep) => prep.finish((words, layout, arithmetic), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
        ys.into_iter().zip(matrices.0).zip(nodes).map(tracked).collect()
    }
}

/// The words of a packed matrix, which must be as many as its layout says.
fn packed(words: Tensor<1, Int>, layout: Layout) -> DispatchTensor {
    let [len] = words.dims();
    assert_eq!(len, layout.words(), "{len} words, the layout has {}", layout.words());
    words.into_dispatch()
}

/// `x · Wᵀ` for each of the matrices, which have as many columns as `x`.
pub(crate) fn matmul(
    x: Tensor<2>,
    matrices: Vec<(Tensor<1, Int>, Layout)>,
    arithmetic: Arithmetic,
) -> Vec<Tensor<2>> {
    span!("quantized_matmul", matrices = matrices.len());
    let [_tokens, cols] = x.dims();
    let primitive = |(words, layout): (Tensor<1, Int>, Layout)| {
        assert_eq!(cols, layout.cols(), "x has {cols} columns, the matrix {}", layout.cols());
        (packed(words, layout), layout)
    };
    let matrices = Matrices(matrices.into_iter().map(primitive).collect());
    let ys = Dispatch::quantized_matmul(x.into_dispatch(), matrices, arithmetic);
    ys.into_iter().map(Tensor::from_dispatch).collect()
}

pub(crate) fn matmul_transposed(
    dy: Tensor<2>,
    words: Tensor<1, Int>,
    layout: Layout,
    arithmetic: Arithmetic,
) -> Tensor<2> {
    span!("quantized_matmul_transposed");
    let [_tokens, rows] = dy.dims();
    assert_eq!(rows, layout.rows(), "dy has {rows} columns, the matrix {} rows", layout.rows());
    Tensor::from_dispatch(Dispatch::quantized_matmul_transposed(
        dy.into_dispatch(),
        packed(words, layout),
        layout,
        arithmetic,
    ))
}

pub(crate) fn dequantize(words: Tensor<1, Int>, layout: Layout) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::dequantize_packed(packed(words, layout), layout))
}

pub(crate) fn rows(words: Tensor<1, Int>, layout: Layout, ids: &[u32]) -> Tensor<2> {
    let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let data = TensorData::new(ids.clone(), [ids.len()]);
    let ids = Tensor::<1, Int>::from_data(data, (&words.device(), DType::I32));
    Tensor::from_dispatch(Dispatch::dequantize_rows(packed(words, layout), ids.into_dispatch(), layout))
}
