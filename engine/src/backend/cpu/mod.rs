//! CPU kernels behind burn's flex backend. The only place with `unsafe`; the scalar kernels are the oracle of the
//! others.
//!
//! What the unsafe code relies on, and where that is checked, in release builds too:
//!
//! | relied on | checked by |
//! |---|---|
//! | a matrix has whole blocks, and its sizes do not overflow | `Layout::new`, the only way to a layout |
//! | words, activations and outputs are as many as the layout says | `operands::assert_sizes` in every product, the assertions of `x86::decode` and `x86::matmul_transposed`, `ops::quantized` at the op |
//! | activations fill all the codes that they reserve | whole blocks, asserted where they are rounded |
//! | sequences share no row and write no block in common | `Pages::new`, the only way to pages; `Ledger::plan` for what a caller puts in a batch |
//! | adapters share no row, and are of the product's shape | `dense::lora::add` |
//! | panels, strips and rows lie within their matrices | the assertions of `dense::panel::product`, `dense::weight_panel` |
//! | tasks write different places | the task's number, which `threads::pool` gives out once |
//! | the machine has the instructions | `instructions`: functions with `FMA` are called with `true` by [`instructions::for_the_machine`] alone |

// A kernel's loops count registers and places; iterators over several arrays at once would hide which.
#![allow(clippy::needless_range_loop)]

mod attention;
mod dense;
mod elementwise;
pub(crate) mod flex;
pub(crate) mod instructions;
pub(crate) mod matmul;
pub(crate) mod memory;
mod operands;
mod ops;
mod threads;
#[cfg(target_arch = "x86_64")]
mod x86;
