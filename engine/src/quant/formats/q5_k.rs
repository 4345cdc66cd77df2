//! Q5_K: as Q4_K, q in 0..32.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::fit::Search;
use super::k_quants::{Affine, pack_pairs, unpack_pairs};
use super::{FormatSpec, GgufBlock, GgufBlocks, ScaleKind, UnpackedBlock};

pub(crate) const Q5_K: FormatSpec = FormatSpec {
    name: "Q5_K",
    block_len: 256,
    block_bytes: size_of::<BlockQ5_K>(),
    group_len: 32,
    code_bits: 5,
    offset: 0,
    scale_kind: ScaleKind::SixBitPairs,
    blocks: Some(GgufBlocks::of::<BlockQ5_K, 256>(std::mem::offset_of!(BlockQ5_K, d))),
};

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BlockQ5_K {
    d: f16,
    dmin: f16,
    /// See [`super::k_quants::scale_and_min`].
    scales: [u8; 12],
    /// The fifth bits: bit `g` of byte `i` belongs to value `i` of group `g`.
    qh: [u8; 32],
    /// The low four bits; see [`pack_pairs`].
    qs: [u8; 128],
}
const _: () = assert!(size_of::<BlockQ5_K>() == 176);

impl BlockQ5_K {
    fn pack(Affine { d, dmin, scales, codes }: &Affine) -> Self {
        let qh = std::array::from_fn(|i| {
            (0..8).fold(0, |bits, group| bits | ((codes[32 * group + i] >> 4) << group))
        });
        Self { d: *d, dmin: *dmin, scales: *scales, qh, qs: pack_pairs(codes) }
    }

    fn affine(&self) -> Affine {
        let Self { d, dmin, scales, qh, qs } = *self;
        let mut codes = unpack_pairs(&qs);
        for (group, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, high) in codes.iter_mut().zip(qh) {
                *code |= (high >> group & 1) << 4;
            }
        }
        Affine { d, dmin, scales, codes }
    }
}

impl GgufBlock<256> for BlockQ5_K {
    fn quantize(values: &[f32; 256]) -> Self {
        Self::pack(&Affine::fit(values, &Search { max_code: 31, first: -0.5, steps: 15 }))
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
