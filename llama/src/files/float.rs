//! Floating-point numbers as files store them.

use half::{bf16, f16};
use rayon::prelude::*;

/// A floating-point type of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the types' own names
pub enum Float {
    F32,
    F16,
    BF16,
}

impl Float {
    /// Bytes of one number.
    pub const fn bytes(self) -> usize {
        match self {
            Float::F32 => 4,
            Float::F16 | Float::BF16 => 2,
        }
    }

    /// What PyTorch calls it.
    pub const fn torch_name(self) -> &'static str {
        match self {
            Float::F32 => "float32",
            Float::F16 => "float16",
            Float::BF16 => "bfloat16",
        }
    }

    /// Converts little-endian numbers to f32, each exactly. An incomplete number at the end is ignored.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Float::F32 => decode(bytes, f32::from_le_bytes),
            Float::F16 => decode(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Float::BF16 => decode(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
        }
    }

    /// Whether no number is infinite or NaN, which are those with all bits of the exponent set.
    pub fn is_finite(self, bytes: &[u8]) -> bool {
        fn all<const N: usize>(bytes: &[u8], finite: impl Fn([u8; N]) -> bool + Sync) -> bool {
            let part = |part: &[[u8; N]]| part.iter().fold(true, |all, &chunk| all & finite(chunk));
            bytes.as_chunks().0.par_chunks(1 << 16).all(part)
        }
        let half = |exponent: u16| move |pair| u16::from_le_bytes(pair) & exponent != exponent;
        match self {
            Float::F32 => all(bytes, |word| u32::from_le_bytes(word) & 0x7f80_0000 != 0x7f80_0000),
            Float::F16 => all(bytes, half(0x7c00)),
            Float::BF16 => all(bytes, half(0x7f80)),
        }
    }

    /// Converts f32 values to little-endian numbers, each rounded to the nearest, ties to even.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Float::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Float::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Float::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }
}

fn decode<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| number(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_decodes_exactly() {
        let values = [0.0, -1.5, 0.333_251_95, 65504.0];
        for float in [Float::F16, Float::F32] {
            let bytes = float.encode(&values);
            assert_eq!(bytes.len(), values.len() * float.bytes());
            assert_eq!(float.decode(&bytes), values);
        }
        assert_eq!(Float::BF16.decode(&[0x80, 0x3f, 0x00, 0xc0]), [1.0, -2.0]);
    }

    #[test]
    fn a_number_that_is_none_is_found() {
        for float in [Float::F32, Float::F16, Float::BF16] {
            let mut values = vec![1.0, -0.0, 6e4, -3e-5];
            assert!(float.is_finite(&float.encode(&values)) && float.is_finite(&[]));
            for none in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                values[2] = none;
                assert!(!float.is_finite(&float.encode(&values)), "{float:?} {none}");
            }
        }
    }

    #[test]
    fn encoding_rounds_to_the_nearest_and_ties_to_even() {
        let ulp = f32::powi(2.0, -7); // the step of bf16 between 1 and 2
        let values = [1.0 + 0.5 * ulp, 1.0 + 1.5 * ulp, 1.0 + 0.51 * ulp, -3.0];
        assert_eq!(Float::BF16.decode(&Float::BF16.encode(&values)), [1.0, 1.0 + 2.0 * ulp, 1.0 + ulp, -3.0]);
        assert_eq!(Float::F16.decode(&Float::F16.encode(&[65519.0, 65520.0])), [65504.0, f32::INFINITY]);
    }
}
