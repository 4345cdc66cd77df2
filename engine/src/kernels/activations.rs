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
                let code = round(value * inverse); // at most 127 · 256 in magnitude
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

/// Rounds to nearest, ties to even, for magnitudes below 2²²: adding 1.5 · 2²³ leaves the integer in
/// the low bits of the mantissa. (`f32::round_ties_even` is a call without SSE 4.1.)
fn round(value: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_for_the_activations() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) * 0.37).collect();
        let row = Activations::quantize(&x);
        for (i, value) in x.iter().enumerate() {
            let code = 256 * i32::from(row.high[i]) + i32::from(row.low[i]);
            assert!(
                (row.scales[i / BLOCK] * code as f32 - value).abs() <= 0.51 * row.scales[i / BLOCK],
                "{value}"
            );
        }
        assert!((row.sums.iter().sum::<f32>() - x.iter().sum::<f32>()).abs() < 1e-2);
    }

    #[test]
    fn zeros_stay_zeros() {
        let row = Activations::quantize(&[0.0; 32]);
        assert_eq!(
            (row.high, row.low, row.scales, row.sums),
            (vec![0; 32], vec![0; 32], vec![0.0], vec![0.0; 2])
        );
    }

    #[test]
    fn rounding_is_to_even() {
        for value in [-32512.0f32, -2.5, -0.5, 0.0, 0.49, 1.5, 2.5, 32511.6] {
            assert_eq!(round(value), value.round_ties_even() as i32);
        }
    }
}
