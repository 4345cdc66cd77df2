//! Q6_K: `x = d · scale · (q - 32)`, q in 0..64; scale, signed 8 bits, for every 16 values.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::fit::{self, nearest_int};
use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock};

pub(crate) const Q6_K: FormatSpec = FormatSpec {
    name: "Q6_K",
    block_len: 256,
    block_bytes: size_of::<BlockQ6_K>(),
    group_len: 16,
    code_bits: 6,
    offset: 32,
    scale_kind: ScaleKind::SignedBytes,
    blocks: Some(GgufBlocks::of::<BlockQ6_K, 256>(std::mem::offset_of!(BlockQ6_K, d))),
};

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ6_K {
    /// The low four bits: for each half of the block 64 bytes, whose low halves hold its first 64 codes and
    /// whose high halves hold its last 64.
    ql: [u8; 128],
    /// The high two bits: for each half of the block 32 bytes; bits `2r` and `2r + 1` of byte `i` belong to its
    /// code `32r + i`.
    qh: [u8; 64],
    scales: [i8; 16],
    d: f16,
}
const _: () = assert!(size_of::<BlockQ6_K>() == 210);

impl BlockQ6_K {
    fn pack(codes: &[u8; 256], scales: [i8; 16], d: f16) -> Self {
        let ql = std::array::from_fn(|byte| {
            let first = 128 * (byte / 64) + byte % 64;
            (codes[first] & 0xf) | (codes[first + 64] << 4)
        });
        let qh = std::array::from_fn(|byte| {
            let first = 128 * (byte / 32) + byte % 32;
            (0..4).fold(0, |bits, r| bits | ((codes[first + 32 * r] >> 4) << (2 * r)))
        });
        Self { ql, qh, scales, d }
    }

    fn codes(&self) -> [u8; 256] {
        let mut codes = [0; 256];
        for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
            let (half, r) = (run / 4, run % 4);
            let low = &self.ql[64 * half + 32 * (r % 2)..][..32];
            let high = &self.qh[32 * half..][..32];
            for ((code, low), high) in codes.iter_mut().zip(low).zip(high) {
                *code = (low >> (4 * (r / 2)) & 0xf) | (high >> (2 * r) & 3) << 4;
            }
        }
        codes
    }
}

impl GgufBlock<256> for BlockQ6_K {
    fn quantize(values: &[f32; 256]) -> Self {
        let (groups, _) = values.as_chunks::<16>();
        let mut codes = [0; 256];
        let mut group_scales = [0.0; 16];
        for ((values, codes), scale) in
            groups.iter().zip(codes.as_chunks_mut::<16>().0).zip(&mut group_scales)
        {
            (*scale, *codes) = fit::symmetric(values);
        }
        let extreme: f32 = group_scales
            .iter()
            .fold(0.0, |max: f32, &scale| if scale.abs() > max.abs() { scale } else { max });
        if extreme.abs() < fit::NEGLIGIBLE {
            return Self::zeroed();
        }

        let inverse = -128.0 / extreme;
        let d = f16::from_f32(1.0 / inverse);
        let scales = group_scales.map(|scale| nearest_int(inverse * scale).min(127) as i8);
        for ((values, codes), scale) in groups.iter().zip(codes.as_chunks_mut::<16>().0).zip(scales) {
            let step = d.to_f32() * f32::from(scale);
            if step != 0.0 {
                *codes = values.map(|x| (nearest_int(x / step).clamp(-32, 31) + 32) as u8);
            }
        }
        Self::pack(&codes, scales, d)
    }

    fn dequantize(&self) -> [f32; 256] {
        let (d, codes) = (self.d.to_f32(), self.codes());
        std::array::from_fn(|i| d * f32::from(self.scales[i / 16]) * (i32::from(codes[i]) - 32) as f32)
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        let integers = self.scales.map(|scale| scale as u8);
        UnpackedBlock { codes: self.codes(), d: self.d, m: f16::ZERO, integers }
    }

    fn repack(block: &UnpackedBlock) -> Self {
        Self::pack(&block.codes, block.integers.map(|byte| byte as i8), block.d)
    }
}
