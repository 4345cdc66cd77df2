//! The directory of tensors.

use std::ops::Range;

use engine::quant::Format;

use crate::files::float::Float;

/// How a tensor's numbers are stored: one of ggml's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorType {
    id: u32,
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
}

/// The types that the engine can load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Floating point.
    Float(Float),
    /// Quantized blocks.
    Blocks(Format),
}

/// Every type that ggml defines today: id, name, elements and bytes of a block. With those that the engine cannot
/// load, a file that has one is still checked, and the error names the tensor.
const TYPES: [(u32, &str, usize, usize); 32] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
];

impl TensorType {
    /// 32-bit floating point.
    pub const F32: TensorType = TensorType { id: 0, name: "F32", block_len: 1, block_bytes: 4 };
    /// IEEE half precision.
    pub const F16: TensorType = TensorType { id: 1, name: "F16", block_len: 1, block_bytes: 2 };

    /// The type with this id in files.
    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|row| row.0 == id).map(|&(id, name, block_len, block_bytes)| Self {
            id,
            name,
            block_len,
            block_bytes,
        })
    }

    /// The type that stores this form; `None` for NF4, which ggml lacks.
    pub fn of(storage: Storage) -> Option<Self> {
        TYPES.iter().filter_map(|row| Self::from_id(row.0)).find(|known| known.storage() == Some(storage))
    }

    /// Its id in files.
    pub fn id(self) -> u32 {
        self.id
    }

    /// ggml's name, such as `Q4_1`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The form in which the engine loads it; `None` if it cannot.
    pub fn storage(self) -> Option<Storage> {
        Some(match self.name {
            "F32" => Storage::Float(Float::F32),
            "F16" => Storage::Float(Float::F16),
            "BF16" => Storage::Float(Float::BF16),
            name => Storage::Blocks(Format::GGUF.into_iter().find(|format| format.name() == name)?),
        })
    }

    /// Bytes of a tensor of this type and shape, innermost dimension first; `None` if the innermost
    /// is no whole number of blocks or the size overflows.
    pub(super) fn bytes_of(self, dimensions: &[usize]) -> Option<usize> {
        let (&row, rows) = dimensions.split_first().unwrap_or((&1, &[]));
        if !row.is_multiple_of(self.block_len) {
            return None;
        }
        rows.iter()
            .try_fold(row / self.block_len, |blocks, &rows| blocks.checked_mul(rows))?
            .checked_mul(self.block_bytes)
    }
}

/// One entry of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    dimensions: Vec<usize>,
    tensor_type: TensorType,
    start: usize,
    end: usize,
}

impl TensorInfo {
    /// An entry whose data begins at byte `start` of the file.
    ///
    /// # Errors
    /// The reason, if shape and type give no size or the size no place in an address space.
    pub(super) fn new(dimensions: Vec<usize>, tensor_type: TensorType, start: usize) -> Result<Self, String> {
        let end = tensor_type.bytes_of(&dimensions).and_then(|bytes| start.checked_add(bytes)).ok_or_else(
            || format!("has the impossible shape {dimensions:?} for type {}", tensor_type.name),
        )?;
        Ok(Self { dimensions, tensor_type, start, end })
    }

    /// The shape in the file's order: innermost (contiguous) dimension first, so a matrix `[out, in]`
    /// reads `[in, out]` here.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// How the numbers are stored.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Where the data lies in the file.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_engine() {
        for (id, ..) in TYPES {
            let tensor_type = TensorType::from_id(id).unwrap();
            if let Some(Storage::Blocks(format)) = tensor_type.storage() {
                assert_eq!(format!("{format:?}"), tensor_type.name());
                assert_eq!(format.block_len(), tensor_type.block_len);
                assert_eq!(format.block_bytes(), tensor_type.block_bytes);
                assert_eq!(TensorType::of(Storage::Blocks(format)), Some(tensor_type));
            }
        }
        assert_eq!(TensorType::from_id(0), Some(TensorType::F32));
        assert_eq!(TensorType::from_id(1), Some(TensorType::F16));
        assert_eq!(TensorType::from_id(4), None);
        assert_eq!(TensorType::of(Storage::Float(Float::F32)), Some(TensorType::F32));
        assert_eq!(TensorType::of(Storage::Blocks(Format::NF4)), None);
    }

    #[test]
    fn sizes_are_whole_blocks_and_never_overflow() {
        let q4_0 = TensorType::from_id(2).unwrap();
        assert_eq!(q4_0.bytes_of(&[64, 3]), Some(2 * 18 * 3));
        assert_eq!(q4_0.bytes_of(&[33, 32]), None);
        assert_eq!(TensorType::F32.bytes_of(&[]), Some(4));
        assert_eq!(TensorType::F32.bytes_of(&[0, 5]), Some(0));
        assert_eq!(TensorType::F32.bytes_of(&[usize::MAX, usize::MAX]), None);
        assert!(TensorInfo::new(vec![usize::MAX / 4], TensorType::F32, usize::MAX).is_err());
    }
}
