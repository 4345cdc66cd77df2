//! Kernels in CubeCL for GPUs, one source for CUDA, Metal and wgpu.
//!
//! Kernels are launched with checked accesses, read tensors that lie in row-major order, and use neither 16-bit
//! floats nor subgroups nor more than 256 units a cube, so that they run on any device. What has no kernel here runs
//! the ops' default bodies.

mod cache;
mod elementwise;
pub(crate) mod info;
mod launch;
mod ops;
mod quantized;
mod unpack;
