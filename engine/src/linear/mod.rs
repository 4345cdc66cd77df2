//! A projection and its weight: dense or quantized, with or without an adapter.

pub(crate) mod projection;
pub(crate) mod quantized_matrix;
pub(crate) mod weight;
