//! Keys or values as a cache keeps them: in 32 bits, or in 16.

use std::ops::Range;

use burn::backend::DType;
use burn::backend::flex::FlexTensor;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// The keys or the values of a layer.
#[derive(Clone, Copy)]
pub(crate) enum Cached<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Cached<'a> {
    /// Those of `tensor`, which is f32 or f16.
    pub fn of(tensor: &'a FlexTensor) -> Self {
        match tensor.dtype() {
            DType::F16 => Self::F16(tensor.storage()),
            _ => Self::F32(tensor.storage()),
        }
    }

    /// Room that [`Cached::floats`] needs for `len` values.
    pub fn room(&self, len: usize) -> usize {
        match self {
            Self::F32(_) => 0,
            Self::F16(_) => len,
        }
    }

    /// The values of `range` in f32, in `room` if they are not kept so, while those of `next`, of the same
    /// length, are on their way. `FMA` says that the machine has AVX2, FMA and F16C if it is an x86.
    #[inline(always)]
    pub fn floats<'s, const FMA: bool>(
        &'s self,
        range: Range<usize>,
        next: Range<usize>,
        room: &'s mut [f32],
    ) -> &'s [f32] {
        match self {
            Self::F32(values) => &values[range],
            Self::F16(values) => {
                #[cfg(target_arch = "x86_64")]
                if FMA {
                    // SAFETY: the caller has the instructions.
                    unsafe { crate::backend::cpu::x86::widen(&values[range], &values[next], room) };
                    return room;
                }
                let _ = next;
                values[range].convert_to_f32_slice(room);
                room
            }
        }
    }
}
