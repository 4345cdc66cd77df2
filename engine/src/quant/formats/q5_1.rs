//! Q5_1: `x = d · q + m`, q in 0..32.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock, legacy};

pub(crate) const Q5_1: FormatSpec = FormatSpec {
    name: "Q5_1",
    block_len: 32,
    block_bytes: size_of::<BlockQ5_1>(),
    group_len: 32,
    code_bits: 5,
    offset: 0,
    scale_kind: ScaleKind::HalfPair,
    blocks: Some(GgufBlocks::of::<BlockQ5_1, 32>(std::mem::offset_of!(BlockQ5_1, d))),
};

/// See [`legacy`] for the codes.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ5_1 {
    d: f16,
    m: f16,
    qh: [u8; 4],
    qs: [u8; 16],
}
const _: () = assert!(size_of::<BlockQ5_1>() == 24);

impl GgufBlock<32> for BlockQ5_1 {
    fn quantize(values: &[f32; 32]) -> Self {
        let (d, min, codes) = legacy::affine(values, 31);
        let (d, m) = (f16::from_f32(d), f16::from_f32(min));
        Self { d, m, qh: legacy::pack_high(&codes), qs: legacy::pack_low(&codes) }
    }

    fn dequantize(&self) -> [f32; 32] {
        legacy::affine_values(self.d, self.m, legacy::unpack(&self.qs, self.qh))
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        UnpackedBlock::new(legacy::unpack(&self.qs, self.qh), self.d, self.m)
    }

    fn repack(block: &UnpackedBlock) -> Self {
        let codes = block.short_codes();
        Self { d: block.d, m: block.m, qh: legacy::pack_high(codes), qs: legacy::pack_low(codes) }
    }
}
