//! Activations rounded to 8 bits.

/// Columns that share one activation scale.
pub(super) const BLOCK: usize = 32;

/// One row of activations in 8 bits: `x ≈ scale · code` in blocks of 32, and what the minima of the
/// weights need: the sum of the (rounded) activations of every 16 columns.
#[derive(Debug, Clone)]
pub(super) struct Activations {
    /// Codes in −127..=127, `[cols]`.
    pub codes: Vec<i8>,
    /// `[cols / 32]`.
    pub scales: Vec<f32>,
    /// `scale · Σ codes`, `[cols / 16]`.
    pub sums: Vec<f32>,
}

impl Activations {
    /// Rounds `x [cols]`, `cols` a multiple of 32, to nearest, ties away from zero.
    pub fn quantize(x: &[f32]) -> Self {
        let mut codes = Vec::with_capacity(x.len());
        let mut scales = Vec::with_capacity(x.len() / BLOCK);
        let mut sums = Vec::with_capacity(x.len() / 16);
        for block in x.chunks_exact(BLOCK) {
            let max = block.iter().fold(0f32, |max, value| max.max(value.abs()));
            let scale = max / 127.0;
            let inverse = if scale > 0.0 { 127.0 / max } else { 0.0 };
            let start = codes.len();
            codes.extend(block.iter().map(|value| (value * inverse).round() as i8));
            scales.push(scale);
            for half in codes[start..].chunks_exact(16) {
                sums.push(scale * half.iter().map(|code| i32::from(*code)).sum::<i32>() as f32);
            }
        }
        Self { codes, scales, sums }
    }
}
