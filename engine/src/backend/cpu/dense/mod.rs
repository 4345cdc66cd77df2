//! Products of f32 matrices, 16 lanes wide.

pub(crate) mod panel;
