//! Floating-point numbers as files store them.

use half::{bf16, f16};

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

    /// Little-endian numbers, each converted exactly. Bytes that are no whole number at the end are
    /// ignored.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Float::F32 => decode(bytes, f32::from_le_bytes),
            Float::F16 => decode(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Float::BF16 => decode(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
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
        let f16s: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        assert_eq!(Float::F16.decode(&f16s), values);
        let f32s: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(Float::F32.decode(&f32s), values);
        assert_eq!(Float::BF16.decode(&[0x80, 0x3f, 0x00, 0xc0]), [1.0, -2.0]);
    }
}
