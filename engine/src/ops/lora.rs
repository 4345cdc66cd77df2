//! The low-rank update of a product, as a backend extension: a default body of ordinary burn ops, which is the
//! reference, CPU kernels for `Flex`, and the backward pass by hand.

#[cfg(test)]
mod laws;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType, Scalar, TensorMetadata, backend_extension,
};
use burn::tensor::{IndexingUpdateOp, Tensor, TensorData};

use super::dropout::Mask;
use super::fused::FusedOps;
use crate::span::span;

/// One adapter's part in a product of `[tokens, in]` and `[out, in]`.
#[derive(Debug, Clone)]
pub struct LoraPart<T> {
    /// The rows that it changes, ascending; all where there is none.
    pub rows: Option<Arc<[usize]>>,
    /// `A [r, in]`.
    pub a: T,
    /// `B [out, r]`.
    pub b: T,
    /// A factor of each output column, `[1, out]`: DoRA's magnitude over the norm of the row.
    pub factor: Option<T>,
    pub scale: f32,
    /// Of the elements of `x`.
    pub dropout: Option<Mask>,
}

impl<T> LoraPart<T> {
    fn map<U>(self, mut of: impl FnMut(T) -> U) -> LoraPart<U> {
        let Self { rows, a, b, factor, scale, dropout } = self;
        LoraPart { rows, a: of(a), b: of(b), factor: factor.map(of), scale, dropout }
    }

    fn tensors(&self) -> impl Iterator<Item = &T> {
        [&self.a, &self.b].into_iter().chain(&self.factor)
    }
}

/// The parts of several adapters, no two of which share a row.
#[derive(Debug)]
pub struct LoraParts<B: Backend>(pub Vec<LoraPart<FloatTensor<B>>>);

// By hand, because burn derives it for structs whose fields are tensors, not for a vector of them.
impl<B: Backend> ExtensionType<B> for LoraParts<B> {
    type Target = LoraParts<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrapped = |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        LoraParts(self.0.into_iter().map(|part| part.map(wrapped)).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        LoraParts(target.0.into_iter().map(|part| part.map(|tensor| unwrap_kind(tensor).float())).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first().map(|part| &part.a)
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        Self::routing_tensor(target)
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let tensors = target.0.iter().flat_map(LoraPart::tensors);
        tensors.fold(DispatchAutodiffContext::Disabled, |all, tensor| all.merge(tensor.autodiff))
    }
}

/// Ops of low-rank adapters; all tensors are f32.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait LoraOps: FusedOps {
    /// `factor · (y + scale · B(A(dropout(x))))` in the rows of each part: `y [tokens, out]`, `x [tokens, in]` →
    /// `[tokens, out]`.
    fn lora(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        #[extension_type] parts: LoraParts<Self>,
    ) -> FloatTensor<Self> {
        reference::<Self>(y, x, parts)
    }

    /// The gradients of [`LoraOps::lora`] of one part, which has all rows and no factor: by `x` (if asked for), by
    /// `A` and by `B`. The one by `y` is `dy`.
    #[allow(clippy::type_complexity)] // three tensors
    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
        dropout: Option<Mask>,
        by_x: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>) {
        reference_backward::<Self>(dy, [x, a, b], scale, dropout, by_x)
    }
}

fn reference<B: FusedOps>(y: FloatTensor<B>, x: FloatTensor<B>, parts: LoraParts<B>) -> FloatTensor<B> {
    parts.0.into_iter().fold(y, |y, part| in_rows::<B>(y, x.clone(), part, adapted::<B>))
}

#[allow(clippy::type_complexity)] // three tensors
fn reference_backward<B: FusedOps>(
    dy: FloatTensor<B>,
    [x, a, b]: [FloatTensor<B>; 3],
    scale: f32,
    dropout: Option<Mask>,
    by_x: bool,
) -> (Option<FloatTensor<B>>, FloatTensor<B>, FloatTensor<B>) {
    let x = dropped::<B>(x, dropout);
    let dy = B::float_mul_scalar(dy, Scalar::from(scale));
    let low = B::float_matmul(x.clone(), B::float_transpose(a.clone())); // [tokens, r]
    let db = B::float_matmul(B::float_transpose(dy.clone()), low); // [out, r]
    let d_low = B::float_matmul(dy, b); // [tokens, r]
    let da = B::float_matmul(B::float_transpose(d_low.clone()), x); // [r, in]
    let dx = by_x.then(|| dropped::<B>(B::float_matmul(d_low, a), dropout));
    (dx, da, db)
}

fn dropped<B: FusedOps>(x: FloatTensor<B>, dropout: Option<Mask>) -> FloatTensor<B> {
    match dropout {
        Some(mask) => B::dropout(x, mask),
        None => x,
    }
}

/// `y` with the part's rows replaced by what `op` makes of these rows of `y` and of the dropped `x`.
fn in_rows<B: FusedOps>(
    y: FloatTensor<B>,
    x: FloatTensor<B>,
    mut part: LoraPart<FloatTensor<B>>,
    op: impl Fn(FloatTensor<B>, FloatTensor<B>, LoraPart<FloatTensor<B>>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let Some(rows) = part.rows.take() else { return op(y, x, part) };
    let x = dropped::<B>(x, part.dropout.take()); // the mask is that of all rows
    let ([tokens, _out], device) = (y.shape().dims(), y.device());
    let ids: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    let ids = B::int_from_data(TensorData::new(ids, [rows.len()]), &device);
    let select = |t: FloatTensor<B>| B::float_select(t, 0, ids.clone());
    let changed = op(select(y.clone()), select(x), part);
    let mut others = vec![1f32; tokens];
    rows.iter().for_each(|row| others[*row] = 0.0);
    let others = B::float_from_data(TensorData::new(others, [tokens, 1]), &device);
    B::float_select_assign(B::float_mul(y, others), 0, ids, changed, IndexingUpdateOp::Add)
}

/// All rows under one part.
fn adapted<B: FusedOps>(
    y: FloatTensor<B>,
    x: FloatTensor<B>,
    part: LoraPart<FloatTensor<B>>,
) -> FloatTensor<B> {
    let low = B::float_matmul(dropped::<B>(x, part.dropout), B::float_transpose(part.a)); // [tokens, r]
    let update = B::float_matmul(low, B::float_transpose(part.b)); // [tokens, out]
    scaled::<B>(B::float_add(y, B::float_mul_scalar(update, Scalar::from(part.scale))), part.factor)
}

fn scaled<B: Backend>(y: FloatTensor<B>, factor: Option<FloatTensor<B>>) -> FloatTensor<B> {
    match factor {
        Some(factor) => B::float_mul(y, factor),
        None => y,
    }
}

#[derive(Debug)]
struct LoraBackward;

impl<B: LoraOps> Backward<B, 4> for LoraBackward {
    type State = ([FloatTensor<B>; 3], f32, Option<Mask>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([x, a, b], scale, dropout) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let [by_y, by_x, by_a, by_b] = ops.parents;
        let (dx, da, db) = B::lora_backward(dy.clone(), x, a, b, scale, dropout, by_x.is_some());
        let gradients = [(by_y, Some(dy)), (by_x, dx), (by_a, Some(da)), (by_b, Some(db))];
        for (parent, gradient) in gradients {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LoraOps, C: CheckpointStrategy> LoraOps for Autodiff<B, C> {
    fn lora(y: FloatTensor<Self>, x: FloatTensor<Self>, parts: LoraParts<Self>) -> FloatTensor<Self> {
        let tracked = |y: FloatTensor<Self>, x: FloatTensor<Self>, part: LoraPart<FloatTensor<Self>>| {
            let LoraPart { a, b, factor, scale, dropout, .. } = part;
            let nodes = [y.node(), x.node(), a.node(), b.node()];
            let [x, a, b] = [x, a, b].map(|tensor| tensor.into_primitive());
            let of = LoraPart { rows: None, a: a.clone(), b: b.clone(), factor: None, scale, dropout };
            let y = B::lora(y.into_primitive(), x.clone(), LoraParts(vec![of]));
            let y: FloatTensor<Self> = match LoraBackward.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(([x, a, b], scale, dropout), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
            scaled::<Self>(y, factor)
        };
        parts.0.into_iter().fold(y, |y, part| in_rows::<Self>(y, x.clone(), part, tracked))
    }
}

/// `factor · (y + scale · B(A(dropout(x))))` in the rows of each part, the others as they are; in place where `y` is
/// nobody else's.
///
/// # Shapes
/// - `y`: `[tokens, out]`
/// - `x`: `[tokens, in]`
/// - `a`: `[r, in]`, `b`: `[out, r]`, `factor`: `[1, out]` of each part
/// - returns `[tokens, out]`
///
/// # Panics
/// If the shapes do not fit, or a row is not one of `y`'s.
///
/// Source: Hu et al. 2021, arXiv:2106.09685; Liu et al. 2024, arXiv:2402.09353.
pub(crate) fn lora(y: Tensor<2>, x: Tensor<2>, parts: Vec<LoraPart<Tensor<2>>>) -> Tensor<2> {
    if parts.is_empty() {
        return y;
    }
    span!("lora", adapters = parts.len());
    let ([tokens, out], [x_tokens, inputs]) = (y.dims(), x.dims());
    assert_eq!(tokens, x_tokens, "y has {tokens} rows, x {x_tokens}");
    for LoraPart { rows, a, b, factor, .. } in &parts {
        let [r, _] = a.dims();
        assert_eq!((a.dims(), b.dims()), ([r, inputs], [out, r]), "A and B of [{out}, {inputs}]");
        assert!(factor.as_ref().is_none_or(|factor| factor.dims() == [1, out]), "a factor an output");
        assert!(rows.iter().flat_map(|rows| rows.iter()).all(|row| *row < tokens), "rows of {tokens}");
    }
    let parts = parts.into_iter().map(|part| part.map(Tensor::into_dispatch)).collect();
    Tensor::from_dispatch(Dispatch::lora(y.into_dispatch(), x.into_dispatch(), LoraParts(parts)))
}
