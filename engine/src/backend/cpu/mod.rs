//! CPU kernels behind burn's flex backend. The only place with `unsafe`; the scalar kernels are the oracle of the
//! others.

// A kernel's loops count registers and places; iterators over several arrays at once would hide which.
#![allow(clippy::needless_range_loop)]

mod attention;
mod dense;
mod elementwise;
mod flex;
pub(crate) mod instructions;
mod matmul;
pub(crate) mod memory;
mod operands;
mod ops;
mod threads;
#[cfg(target_arch = "x86_64")]
mod x86;
