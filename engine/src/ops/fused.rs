//! The ops between the products as a backend extension: default bodies of ordinary burn ops, which are
//! the reference, CPU kernels for `Flex`, and backward passes by hand.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Scalar, TensorMetadata, backend_extension};
use burn::tensor::{IndexingUpdateOp, Shape, Slice, TensorData};

use super::dropout::Mask;

/// Normalization, gate and rotation on f32 tensors; see the functions beside this module for formulas.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait FusedOps: Backend {
    /// `x / sqrt(mean(x²) + eps) · weight`: `x [tokens, hidden]`, `weight [hidden]`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        let inverse = inverse_rms::<Self>(x.clone(), eps); // [tokens, 1]
        Self::float_mul(Self::float_mul(x, inverse), row::<Self>(weight))
    }

    /// The gradient of [`FusedOps::rms_norm`] by `x`, all `[tokens, hidden]`.
    fn rms_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        // dx = n · (dy·w − x · n² · mean(dy·w·x)), n the inverse root mean square
        let inverse = inverse_rms::<Self>(x.clone(), eps); // [tokens, 1]
        let dy = Self::float_mul(dy, row::<Self>(weight));
        let along = Self::float_mean_dim(Self::float_mul(dy.clone(), x.clone()), 1); // [tokens, 1]
        let along = Self::float_mul(along, Self::float_mul(inverse.clone(), inverse.clone()));
        Self::float_mul(Self::float_sub(dy, Self::float_mul(x, along)), inverse)
    }

    /// `silu(gate) · up`, elementwise.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul(Self::float_mul(gate.clone(), Self::sigmoid(gate)), up)
    }

    /// The gradients of [`FusedOps::swiglu`] by `gate` and by `up`.
    fn swiglu_backward(
        dy: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let sigmoid = Self::sigmoid(gate.clone());
        let silu = Self::float_mul(gate, sigmoid.clone());
        // silu' = σ + silu · (1 − σ)
        let rest = Self::float_sub(silu.clone(), Self::float_mul(silu.clone(), sigmoid.clone()));
        let slope = Self::float_add(sigmoid, rest);
        let d_gate = Self::float_mul(Self::float_mul(dy.clone(), up), slope);
        (d_gate, Self::float_mul(dy, silu))
    }

    /// `x ∘ mask` for `x [tokens, channels]`: its own backward pass.
    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let shape = x.shape();
        let mut factors: Vec<f32> =
            (0..shape.num_elements().div_ceil(4)).flat_map(|at| mask.factors(at)).collect();
        factors.truncate(shape.num_elements());
        let factors = Self::float_from_data(TensorData::new(factors, shape), &x.device());
        Self::float_mul(x, factors)
    }

    /// `−log softmax(logits)[target]` of every row, `[targets]`, and its gradient by the logits, as they:
    /// `logits [targets, vocab]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: Arc<Vec<u32>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let device = logits.device();
        let rows = targets.len();
        let ids = targets.iter().map(|id| *id as i32).collect::<Vec<_>>();
        let ids = Self::int_from_data(TensorData::new(ids, [rows, 1]), &device);
        let log_p = Self::log_softmax(logits, 1); // [targets, vocab]
        let nll = Self::float_neg(Self::float_gather(1, log_p.clone(), ids.clone()));
        let minus_one = Self::float_from_data(TensorData::new(vec![-1f32; rows], [rows, 1]), &device);
        let gradient = Self::float_scatter(1, Self::float_exp(log_p), ids, minus_one, IndexingUpdateOp::Add);
        (Self::float_reshape(nll, Shape::new([rows])), gradient)
    }

    /// Rotates the halves of every head: `x [tokens, heads, head_dim]`, `cos`, `sin [tokens, 1, head_dim / 2]`.
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let [tokens, heads, head_dim] = x.shape().dims();
        let half = head_dim / 2;
        let part = |first: usize| {
            let all = |len: usize| Slice::from(0..len as isize);
            let columns = Slice::from(first as isize..(first + half) as isize);
            Self::float_slice(x.clone(), &[all(tokens), all(heads), columns])
        };
        let (first, second) = (part(0), part(half));
        let times = |a: &FloatTensor<Self>, b: &FloatTensor<Self>| Self::float_mul(a.clone(), b.clone());
        let y1 = Self::float_sub(times(&first, &cos), times(&second, &sin));
        let y2 = Self::float_add(times(&second, &cos), times(&first, &sin));
        Self::float_cat(vec![y1, y2], 2)
    }
}

/// `1 / sqrt(mean(x²) + eps)`, `[tokens, 1]`.
fn inverse_rms<B: Backend>(x: FloatTensor<B>, eps: f32) -> FloatTensor<B> {
    let mean = B::float_mean_dim(B::float_mul(x.clone(), x), 1);
    B::float_recip(B::float_sqrt(B::float_add_scalar(mean, Scalar::from(eps))))
}

fn row<B: Backend>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let [hidden] = weight.shape().dims();
    B::float_reshape(weight, Shape::new([1, hidden]))
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: FusedOps> Backward<B, 1> for RmsNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (x, weight, eps) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::rms_norm_backward(dy, x, weight, eps));
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl<B: FusedOps> Backward<B, 2> for SwigluBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (gate, up) = ops.state;
        let (d_gate, d_up) = B::swiglu_backward(grads.consume::<B>(&ops.node), gate, up);
        for (parent, gradient) in ops.parents.into_iter().zip([d_gate, d_up]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct DropoutBackward;

impl<B: FusedOps> Backward<B, 1> for DropoutBackward {
    type State = Mask;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let mask = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::dropout(dy, mask));
    }
}

/// A rotation's gradient is turned back.
#[derive(Debug)]
struct RotaryBackward;

impl<B: FusedOps> Backward<B, 1> for RotaryBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (cos, sin) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::rotary(dy, cos, B::float_neg(sin)));
    }
}

/// The norm's weight and the angles are frozen: they have no gradient.
impl<B: FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        let node = x.node();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let y = B::rms_norm(x.clone(), weight.clone(), eps);
        match RmsNormBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, eps), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [gate.node(), up.node()];
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        let y = B::swiglu(gate.clone(), up.clone());
        match SwigluBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gate, up), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let node = x.node();
        let y = B::dropout(x.into_primitive(), mask);
        match DropoutBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(mask, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let y = B::rotary(x.into_primitive(), cos.clone(), sin.clone());
        match RotaryBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos, sin), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
