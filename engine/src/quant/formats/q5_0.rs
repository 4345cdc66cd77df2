//! Q5_0: `x = d · (q - 16)`, q in 0..32.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock, legacy};

const OFFSET: u8 = 16;

pub(crate) const Q5_0: FormatSpec = FormatSpec {
    name: "Q5_0",
    block_len: 32,
    block_bytes: size_of::<BlockQ5_0>(),
    group_len: 32,
    code_bits: 5,
    offset: OFFSET,
    scale_kind: ScaleKind::Half,
    blocks: Some(GgufBlocks::of::<BlockQ5_0, 32>(std::mem::offset_of!(BlockQ5_0, d))),
};

/// See [`legacy`] for the codes.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ5_0 {
    d: f16,
    qh: [u8; 4],
    qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ5_0>() == 22);

impl GgufBlock<32> for BlockQ5_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, codes) = legacy::symmetric(values, OFFSET);
        Self { d: f16::from_f32(d), qh: legacy::pack_high(&codes), qs: legacy::pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        legacy::symmetric_values(self.d, legacy::unpack(&self.qs, self.qh), OFFSET)
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        UnpackedBlock::new(legacy::unpack(&self.qs, self.qh), self.d, f16::ZERO)
    }

    fn repack(block: &UnpackedBlock) -> Self {
        let codes = block.short_codes();
        Self { d: block.d, qh: legacy::pack_high(codes), qs: legacy::pack_low(codes) }
    }
}
