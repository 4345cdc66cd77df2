//! Several quantized matrices as one argument of a backend's op.

use burn::backend::tensor::IntTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType,
};

use crate::quant::Layout;

/// Packed words, each with their [`Layout`], of matrices that multiply the same activations: those are rounded
/// once, and threads meet once, for all of them.
#[derive(Debug)]
pub struct Matrices<B: Backend>(pub Vec<(IntTensor<B>, Layout)>);

// By hand, because burn derives it for structs whose fields are tensors, not for a vector of them.
impl<B: Backend> ExtensionType<B> for Matrices<B> {
    type Target = Matrices<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrapped = |words| DispatchTensor { kind: map_kind(BackendTensor::Int(words)), autodiff };
        Matrices(self.0.into_iter().map(|(words, layout)| (wrapped(words), layout)).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Matrices(target.0.into_iter().map(|(words, layout)| (unwrap_kind(words).int(), layout)).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first().map(|(words, _)| words)
    }

    fn routing_float_tensor(_target: &Self::Target) -> Option<&DispatchTensor> {
        None
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        Self::routing_tensor(target).map_or(DispatchAutodiffContext::Disabled, |words| words.autodiff)
    }
}
