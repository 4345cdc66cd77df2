//! Products of f32 matrices, 16 lanes wide.

pub(crate) mod lora;
pub(crate) mod matmul;
pub(crate) mod panel;
pub(crate) mod weight_panel;
