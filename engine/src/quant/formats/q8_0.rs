//! Q8_0: `x = d · q`, q in -127..=127 (a file may have -128).

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock, legacy};

/// Makes codes unsigned.
const OFFSET: u8 = 128;

pub(crate) const Q8_0: FormatSpec = FormatSpec {
    name: "Q8_0",
    block_len: 32,
    block_bytes: size_of::<BlockQ8_0>(),
    group_len: 32,
    code_bits: 8,
    offset: OFFSET,
    scale_kind: ScaleKind::Half,
    blocks: Some(GgufBlocks::of::<BlockQ8_0, 32>(std::mem::offset_of!(BlockQ8_0, d))),
};

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ8_0 {
    d: f16,
    qs: [i8; 32],
}
const _: () = assert!(size_of::<BlockQ8_0>() == 34);

impl GgufBlock<32> for BlockQ8_0 {
    fn quantize(values: &[f32; 32]) -> Self {
        let amax = values.iter().fold(0.0, |amax: f32, x| amax.max(x.abs()));
        let d = amax / 127.0;
        let inverse = legacy::reciprocal(d);
        Self { d: f16::from_f32(d), qs: values.map(|x| (x * inverse).round() as i8) }
    }

    fn dequantize(&self) -> [f32; 32] {
        let d = self.d.to_f32();
        self.qs.map(|q| f32::from(q) * d)
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        UnpackedBlock::new(self.qs.map(|q| q as u8 ^ OFFSET), self.d, f16::ZERO)
    }

    fn repack(block: &UnpackedBlock) -> Self {
        Self { d: block.d, qs: block.short_codes().map(|code| (code ^ OFFSET) as i8) }
    }
}
