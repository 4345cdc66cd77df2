//! The loss of logits.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;

/// The cross-entropy of every row with its target, and its gradient by the logits, together: both need the softmax.
///
/// `nll = −log softmax(logits)[target]`, `d_logits = softmax(logits) − onehot(target)`
///
/// # Shapes
/// - `logits`: `[targets, vocab]`
/// - returns `[targets]` and `[targets, vocab]`
///
/// # Panics
/// If there are not as many targets as rows, or one is not below `vocab`.
pub fn cross_entropy(logits: Tensor<2>, targets: &[u32]) -> (Tensor<1>, Tensor<2>) {
    let [rows, vocab] = logits.dims();
    assert_eq!(rows, targets.len(), "{rows} rows of logits for {} targets", targets.len());
    let beyond = targets.iter().find(|target| **target as usize >= vocab);
    assert!(beyond.is_none(), "target {} of a vocabulary of {vocab}", beyond.unwrap_or(&0));
    let (nll, gradient) = Dispatch::cross_entropy(logits.into_dispatch(), Arc::new(targets.to_vec()));
    (Tensor::from_dispatch(nll), Tensor::from_dispatch(gradient))
}
