//! Attention over blocks of 32 positions, and its gradients.

pub(crate) mod cached;
pub(crate) mod causal_backward;
pub(crate) mod paged;
