//! Activations rounded to integers of two 8-bit digits.

/// Columns that share one activation scale.
pub(super) const BLOCK: usize = 32;
/// The largest high digit.
const HIGH: f32 = 127.0;

/// One row of activations as integers: `x ≈ scale · (256 · high + low)` in blocks of 32, and what the
/// minima of the weights need: the sum of the (rounded) activations of every 16 columns.
///
/// Digits are signed bytes because the instructions multiply unsigned weights by signed bytes.
#[derive(Debug, Clone)]
pub(super) struct Activations {
    /// `[cols]`, −127..=127.
    pub high: Vec<i8>,
    /// `[cols]`.
    pub low: Vec<i8>,
    /// `[cols / 32]`.
    pub scales: Vec<f32>,
    /// `scale · Σ (256 · high + low)`, `[cols / 16]`.
    pub sums: Vec<f32>,
}

impl Activations {
    /// Rounds `x [cols]`, `cols` a multiple of 32, to nearest.
    pub fn quantize(x: &[f32]) -> Self {
        let mut row = Self {
            high: vec![0; x.len()],
            low: vec![0; x.len()],
            scales: Vec::with_capacity(x.len() / BLOCK),
            sums: Vec::with_capacity(x.len() / 16),
        };
        let digits = row.high.chunks_exact_mut(BLOCK).zip(row.low.chunks_exact_mut(BLOCK));
        for (x, (high, low)) in x.chunks_exact(BLOCK).zip(digits) {
            let largest = x.iter().fold(0f32, |max, value| max.max(value.abs()));
            let scale = largest / (256.0 * HIGH);
            let inverse = if scale > 0.0 { 256.0 * HIGH / largest } else { 0.0 };
            let mut sums = [0i32; 2];
            for (i, ((value, high), low)) in x.iter().zip(high).zip(low).enumerate() {
                let code = (value * inverse).round_ties_even() as i32; // at most 127 · 256 in magnitude
                *low = code as i8;
                *high = ((code - i32::from(*low)) >> 8) as i8;
                sums[i / 16] += code;
            }
            row.scales.push(scale);
            row.sums.extend(sums.map(|sum| scale * sum as f32));
        }
        row
    }
}
