//! Q4_0: `x = d · (q - 8)`, q in 0..16.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock, legacy};

const OFFSET: u8 = 8;

pub(crate) const Q4_0: FormatSpec = FormatSpec {
    name: "Q4_0",
    block_len: 32,
    block_bytes: size_of::<BlockQ4_0>(),
    group_len: 32,
    code_bits: 4,
    offset: OFFSET,
    scale_kind: ScaleKind::Half,
    blocks: Some(GgufBlocks::of::<BlockQ4_0, 32>(std::mem::offset_of!(BlockQ4_0, d))),
};

/// See [`legacy`] for the codes.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ4_0 {
    d: f16,
    qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ4_0>() == 18);

impl GgufBlock<32> for BlockQ4_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, codes) = legacy::symmetric(values, OFFSET);
        Self { d: f16::from_f32(d), qs: legacy::pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        legacy::symmetric_values(self.d, legacy::unpack_low(&self.qs), OFFSET)
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        UnpackedBlock::new(legacy::unpack_low(&self.qs), self.d, f16::ZERO)
    }

    fn repack(block: &UnpackedBlock) -> Self {
        Self { d: block.d, qs: legacy::pack_low(block.short_codes()) }
    }
}
