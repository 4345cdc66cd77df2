//! Q4_K: `x = d · scale · q - dmin · min`, q in 0..16; scale and min, 6 bits each, for every 32 values.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::fit::Search;
use super::k_quants::{Affine, pack_pairs, unpack_pairs};
use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock};

pub(crate) const Q4_K: FormatSpec = FormatSpec {
    name: "Q4_K",
    block_len: 256,
    block_bytes: size_of::<BlockQ4_K>(),
    group_len: 32,
    code_bits: 4,
    offset: 0,
    scale_kind: ScaleKind::SixBitPairs,
    blocks: Some(GgufBlocks::of::<BlockQ4_K, 256>(std::mem::offset_of!(BlockQ4_K, d))),
};

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ4_K {
    d: f16,
    dmin: f16,
    /// See [`super::k_quants::scale_and_min`].
    scales: [u8; 12],
    /// See [`pack_pairs`].
    qs: [u8; 128],
}
const _: () = assert!(size_of::<BlockQ4_K>() == 144);

impl BlockQ4_K {
    fn pack(Affine { d, dmin, scales, codes }: &Affine) -> Self {
        Self { d: *d, dmin: *dmin, scales: *scales, qs: pack_pairs(codes) }
    }

    fn affine(&self) -> Affine {
        let Self { d, dmin, scales, qs } = *self;
        Affine { d, dmin, scales, codes: unpack_pairs(&qs) }
    }
}

impl GgufBlock<256> for BlockQ4_K {
    fn quantize(values: &[f32; 256]) -> Self {
        Self::pack(&Affine::fit(values, &Search { max_code: 15, first: -1.0, steps: 20 }))
    }

    fn dequantize(&self) -> [f32; 256] {
        self.affine().values()
    }

    #[inline]
    fn unpack(&self) -> UnpackedBlock {
        self.affine().unpacked()
    }

    fn repack(block: &UnpackedBlock) -> Self {
        Self::pack(&Affine::of(block))
    }
}
