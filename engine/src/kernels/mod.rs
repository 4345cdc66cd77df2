//! CPU kernels. The only place with `unsafe`; the scalar kernel is the oracle of the others.

#[cfg(feature = "flex")]
mod activations;
#[cfg(all(feature = "flex", target_arch = "x86_64"))]
mod avx512;
#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(feature = "flex")]
mod scalar;

/// A kernel: one tile's outputs for every row of activations, `[rows][16]`.
#[cfg(feature = "flex")]
type TileKernel = fn(crate::quant::Layout, &[u32], usize, &[activations::Activations], &mut [f32]);

/// Whether `format` multiplies with integer activations. NF4's codes are not evenly spaced, so integer
/// dot products do not apply to it.
#[cfg(feature = "flex")]
pub(crate) fn has_integer(format: crate::quant::Format) -> bool {
    format != crate::quant::Format::NF4
}

/// The scalar kernel on plain slices: `x [tokens, cols]` → `[tokens, rows]`.
#[cfg(all(test, feature = "flex"))]
pub(crate) fn scalar_integer(x: &[f32], words: &[u32], layout: crate::quant::Layout) -> Vec<f32> {
    use crate::quant::TILE;
    let rows: Vec<_> = x.chunks_exact(layout.cols).map(activations::Activations::quantize).collect();
    let mut y = vec![0.0; rows.len() * layout.rows];
    for tile in 0..layout.tiles() {
        let mut out = vec![0.0; rows.len() * TILE];
        scalar::integer_tile(layout, words, tile, &rows, &mut out);
        for (token, out) in out.chunks_exact(TILE).enumerate() {
            let width = TILE.min(layout.rows - tile * TILE);
            let start = token * layout.rows + tile * TILE;
            y[start..start + width].copy_from_slice(&out[..width]);
        }
    }
    y
}
