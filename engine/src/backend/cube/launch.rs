//! What launching kernels has in common.

use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube in kernels that work on elements.
pub(super) const UNITS: u32 = 64;

/// Cubes for `count` of something, a cube each, of which a kernel knows the number by `CUBE_POS` and ignores those beyond
/// `count`: one dimension has places for 65,535.
pub(super) fn cubes(count: usize) -> CubeCount {
    let rows = count.div_ceil(1 << 15).max(1);
    CubeCount::Static(count.div_ceil(rows).max(1) as u32, rows as u32, 1)
}

/// Cubes of [`UNITS`] units for `count` elements, of which a kernel knows the number by `ABSOLUTE_POS`.
pub(super) fn elements(count: usize) -> (CubeCount, CubeDim) {
    (cubes(count.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS))
}

/// The tensor in row-major order, as a kernel's argument.
pub(super) fn input(tensor: &CubeTensor) -> BufferArg {
    into_contiguous(tensor.clone()).into_buffer_arg()
}

/// A tensor of f32 on the device of `like`, to be filled.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), DType::F32)
}

/// A tensor of the shape of `like`, to be filled.
pub(super) fn empty_like(like: &CubeTensor) -> CubeTensor {
    empty(like, like.shape())
}

/// A filled tensor as a kernel's argument.
pub(super) fn output(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}
