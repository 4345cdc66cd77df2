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
    ExtensionType, Scalar, TensorMetadata, backend_extension, get_device_settings,
};
use burn::tensor::{Device, Tensor, TensorData};

use super::dropout::Mask;
use super::fused::FusedOps;
use crate::span::span;

/// Some of the rows of a product.
#[derive(Debug, Clone)]
pub struct PartRows<T> {
    /// Which, ascending.
    pub indices: Arc<[usize]>,
    /// 1 in these rows and 0 in the others, `[tokens, 1]`: on the device, so that no layer sends the list there.
    pub mask: T,
}

impl PartRows<Tensor<2>> {
    /// The rows `indices`, ascending, of `tokens`.
    pub(crate) fn new(indices: Vec<usize>, tokens: usize, device: &Device) -> Self {
        let mut mask = vec![0f32; tokens];
        indices.iter().for_each(|row| mask[*row] = 1.0);
        let mask = Tensor::from_data(TensorData::new(mask, [tokens, 1]), device);
        Self { indices: indices.into(), mask }
    }
}

/// One adapter's part in a product of `[tokens, in]` and `[out, in]`.
#[derive(Debug, Clone)]
pub struct LoraPart<T> {
    /// The rows that it changes; all where there is none.
    pub rows: Option<PartRows<T>>,
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
        let (a, b) = (of(a), of(b));
        let rows = rows.map(|PartRows { indices, mask }| PartRows { indices, mask: of(mask) });
        LoraPart { rows, a, b, factor: factor.map(of), scale, dropout }
    }

    fn tensors(&self) -> impl Iterator<Item = &T> {
        [&self.a, &self.b].into_iter().chain(&self.factor).chain(self.rows.as_ref().map(|rows| &rows.mask))
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
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
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

/// `y` with the part's rows replaced by what `op` makes of them; it is asked for all, as shapes that differ from step to
/// step cost a device more.
fn in_rows<B: FusedOps>(
    y: FloatTensor<B>,
    x: FloatTensor<B>,
    mut part: LoraPart<FloatTensor<B>>,
    op: impl Fn(FloatTensor<B>, FloatTensor<B>, LoraPart<FloatTensor<B>>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let Some(rows) = part.rows.take() else { return op(y, x, part) };
    let bools = get_device_settings::<B>(&y.device()).bool_dtype;
    let chosen = B::float_greater_elem(rows.mask, Scalar::from(0.5), bools);
    let chosen = B::bool_expand(chosen, y.shape());
    let changed = op(y.clone(), x, part);
    B::float_mask_where(y, chosen, changed)
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
        let fits = |rows: &PartRows<Tensor<2>>| {
            rows.mask.dims() == [tokens, 1] && rows.indices.iter().all(|row| *row < tokens)
        };
        assert!(rows.as_ref().is_none_or(fits), "rows of {tokens}");
    }
    let parts = parts.into_iter().map(|part| part.map(Tensor::into_dispatch)).collect();
    Tensor::from_dispatch(Dispatch::lora(y.into_dispatch(), x.into_dispatch(), LoraParts(parts)))
}
