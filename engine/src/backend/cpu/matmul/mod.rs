//! Products with packed weights: with rounded activations, or in f32.

pub(crate) mod dispatch;
pub(crate) mod exact;
pub(crate) mod integer;
mod scalar;
