//! Q4_1: `x = d · q + m`, q in 0..16.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock, legacy};

pub(crate) const Q4_1: FormatSpec = FormatSpec {
    name: "Q4_1",
    block_len: 32,
    block_bytes: size_of::<BlockQ4_1>(),
    group_len: 32,
    code_bits: 4,
    offset: 0,
    scale_kind: ScaleKind::HalfPair,
    blocks: Some(GgufBlocks::of::<BlockQ4_1, 32>(std::mem::offset_of!(BlockQ4_1, d))),
};

/// See [`legacy`] for the codes.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ4_1 {
    d: f16,
    m: f16,
    qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ4_1>() == 20);

impl GgufBlock<32> for BlockQ4_1 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, min, codes) = legacy::affine(values, 15);
        Self { d: f16::from_f32(d), m: f16::from_f32(min), qs: legacy::pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        legacy::affine_values(self.d, self.m, legacy::unpack_low(&self.qs))
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        UnpackedBlock::new(legacy::unpack_low(&self.qs), self.d, self.m)
    }

    fn repack(block: &UnpackedBlock) -> Self {
        Self { d: block.d, m: block.m, qs: legacy::pack_low(block.short_codes()) }
    }
}
