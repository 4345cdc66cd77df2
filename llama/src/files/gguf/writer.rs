//! Writes GGUF files, tensor by tensor: no more than one tensor is in memory.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;
use std::vec;

use super::header::DEFAULT_ALIGNMENT;
use super::tensor::TensorType;
use super::value::{Array, Value};
use crate::error::LlamaError;
use crate::files::atomic_write::Staged;

/// The version that is written.
const VERSION: u32 = 3;

/// A tensor of a file that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorEntry {
    /// Its name, such as `token_embd.weight`.
    pub name: String,
    /// Its shape, innermost dimension first.
    pub dimensions: Vec<usize>,
    /// How its numbers are stored.
    pub tensor_type: TensorType,
}

/// Writes a GGUF file under a temporary name, which [`finish`](Self::finish) replaces by its own. Dropped before that,
/// the file is deleted.
#[derive(Debug)]
pub struct GgufWriter {
    staged: Staged,
    /// The tensors still to be written, with their lengths in bytes.
    expected: vec::IntoIter<(String, usize)>,
}

impl GgufWriter {
    /// Begins the file `path`, which will hold `tensors` in this order. The alignment is the
    /// format's own, so `general.alignment` is left out of the metadata.
    ///
    /// # Errors
    /// If the file cannot be written, or a shape does not suit its type.
    pub fn create(
        path: &Path,
        metadata: &BTreeMap<String, Value>,
        tensors: &[TensorEntry],
    ) -> Result<Self, LlamaError> {
        let metadata = metadata.iter().filter(|(key, _)| *key != "general.alignment");
        let mut header = Vec::from(b"GGUF");
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.clone().count() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut expected = Vec::with_capacity(tensors.len());
        let mut offset = 0;
        for TensorEntry { name, dimensions, tensor_type } in tensors {
            let bytes = tensor_type.bytes_of(dimensions).ok_or_else(|| {
                let reason = format!("has a shape {dimensions:?} that {} cannot hold", tensor_type.name());
                LlamaError::tensor(path, name, reason)
            })?;
            put_entry(
                &mut header,
                name,
                tensor_type.id(),
                dimensions.iter().map(|&size| size as u64),
                offset,
            );
            expected.push((name.clone(), bytes));
            offset += bytes.next_multiple_of(DEFAULT_ALIGNMENT as usize) as u64;
        }
        let mut writer = Self { staged: Staged::create(path)?, expected: expected.into_iter() };
        writer.put_aligned(&header)?;
        Ok(writer)
    }

    /// Writes the next tensor.
    ///
    /// # Errors
    /// If there is none, or `bytes` is not as long as its type and shape say, or the file cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LlamaError> {
        match self.expected.next() {
            Some((_, len)) if len == bytes.len() => self.put_aligned(bytes),
            Some((name, len)) => {
                let reason = format!("has {} bytes, {len} expected", bytes.len());
                Err(LlamaError::tensor(self.staged.path(), &name, reason))
            }
            None => Err(LlamaError::file(self.staged.path(), "has all its tensors already")),
        }
    }

    /// Calls `check` with the temporary path of the complete file. If it finds no fault, renames the file to its own
    /// path, replacing a file that is there.
    ///
    /// # Errors
    /// If a tensor was not written, the file cannot be written, or `check` fails.
    pub fn finish(mut self, check: impl FnOnce(&Path) -> Result<(), LlamaError>) -> Result<(), LlamaError> {
        if let Some((name, _)) = self.expected.next() {
            return Err(LlamaError::tensor(self.staged.path(), &name, "was not written"));
        }
        check(self.staged.temporary())?;
        self.staged.commit()
    }

    /// Writes `bytes` and zeros up to the next multiple of the alignment.
    fn put_aligned(&mut self, bytes: &[u8]) -> Result<(), LlamaError> {
        let padding = bytes.len().next_multiple_of(DEFAULT_ALIGNMENT as usize) - bytes.len();
        let path = self.staged.path().to_path_buf();
        let file = self.staged.file();
        debug_assert!(file.stream_position().is_ok_and(|at| at.is_multiple_of(DEFAULT_ALIGNMENT)));
        let written = file.write_all(bytes).and_then(|()| file.write_all(&vec![0; padding]));
        written.map_err(LlamaError::io(&path))
    }
}

/// An entry of the directory of tensors.
pub(super) fn put_entry(
    out: &mut Vec<u8>,
    name: &str,
    type_id: u32,
    dimensions: impl ExactSizeIterator<Item = u64>,
    offset: u64,
) {
    put_string(out, name);
    out.extend((dimensions.len() as u32).to_le_bytes());
    dimensions.for_each(|dimension| out.extend(dimension.to_le_bytes()));
    out.extend(type_id.to_le_bytes());
    out.extend(offset.to_le_bytes());
}

/// Writes a string: its length, then its bytes.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Writes a metadata value: its type, then its contents.
pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) {
    fn one<const N: usize>(out: &mut Vec<u8>, id: u32, bytes: [u8; N]) {
        out.extend(id.to_le_bytes());
        out.extend(bytes);
    }
    match value {
        Value::U8(value) => one(out, 0, value.to_le_bytes()),
        Value::I8(value) => one(out, 1, value.to_le_bytes()),
        Value::U16(value) => one(out, 2, value.to_le_bytes()),
        Value::I16(value) => one(out, 3, value.to_le_bytes()),
        Value::U32(value) => one(out, 4, value.to_le_bytes()),
        Value::I32(value) => one(out, 5, value.to_le_bytes()),
        Value::F32(value) => one(out, 6, value.to_le_bytes()),
        Value::Bool(value) => one(out, 7, [u8::from(*value)]),
        Value::String(text) => {
            out.extend(8u32.to_le_bytes());
            put_string(out, text);
        }
        Value::Array(array) => {
            out.extend(9u32.to_le_bytes());
            put_array(out, array);
        }
        Value::U64(value) => one(out, 10, value.to_le_bytes()),
        Value::I64(value) => one(out, 11, value.to_le_bytes()),
        Value::F64(value) => one(out, 12, value.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    fn all<T: Copy, const N: usize>(out: &mut Vec<u8>, id: u32, values: &[T], bytes: fn(T) -> [u8; N]) {
        out.extend(id.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|&value| out.extend(bytes(value)));
    }
    match array {
        Array::U8(values) => all(out, 0, values, u8::to_le_bytes),
        Array::I8(values) => all(out, 1, values, i8::to_le_bytes),
        Array::U16(values) => all(out, 2, values, u16::to_le_bytes),
        Array::I16(values) => all(out, 3, values, i16::to_le_bytes),
        Array::U32(values) => all(out, 4, values, u32::to_le_bytes),
        Array::I32(values) => all(out, 5, values, i32::to_le_bytes),
        Array::F32(values) => all(out, 6, values, f32::to_le_bytes),
        Array::Bool(values) => all(out, 7, values, |value| [u8::from(value)]),
        Array::String(texts) => {
            out.extend(8u32.to_le_bytes());
            out.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| put_string(out, text));
        }
        Array::U64(values) => all(out, 10, values, u64::to_le_bytes),
        Array::I64(values) => all(out, 11, values, i64::to_le_bytes),
        Array::F64(values) => all(out, 12, values, f64::to_le_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::gguf::Gguf;

    fn entry(name: &str, dimensions: &[usize], tensor_type: TensorType) -> TensorEntry {
        TensorEntry { name: name.into(), dimensions: dimensions.to_vec(), tensor_type }
    }

    #[test]
    fn what_is_written_is_read() {
        let values = [
            Value::U8(1),
            Value::I8(-1),
            Value::U16(2),
            Value::I16(-2),
            Value::U32(3),
            Value::I32(-3),
            Value::F32(0.5),
            Value::Bool(true),
            Value::String("é".into()),
            Value::U64(u64::MAX),
            Value::I64(i64::MIN),
            Value::F64(1e300),
            Value::Array(Array::U8(vec![1, 2])),
            Value::Array(Array::I8(vec![-1])),
            Value::Array(Array::U16(vec![3])),
            Value::Array(Array::I16(vec![-3])),
            Value::Array(Array::U32(vec![4])),
            Value::Array(Array::I32(vec![-4, 5])),
            Value::Array(Array::F32(vec![0.25])),
            Value::Array(Array::Bool(vec![true, false])),
            Value::Array(Array::String(vec![String::new(), "b".into()])),
            Value::Array(Array::U64(vec![6])),
            Value::Array(Array::I64(vec![])),
            Value::Array(Array::F64(vec![7.0])),
        ];
        let metadata: BTreeMap<String, Value> =
            values.into_iter().enumerate().map(|(index, value)| (format!("key.{index:02}"), value)).collect();
        let mut written = metadata.clone();
        written.insert("general.alignment".into(), Value::U32(8));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let tensors = [entry("b", &[3, 1], TensorType::F32), entry("a", &[5], TensorType::F16)];
        let mut writer = GgufWriter::create(&path, &written, &tensors).unwrap();
        writer.write(&[1; 12]).unwrap();
        writer.write(&[2; 10]).unwrap();
        assert!(!path.exists());
        writer.finish(|_| Ok(())).unwrap();

        let gguf = Gguf::open(&path).unwrap();
        assert!(gguf.all_metadata().eq(metadata.iter().map(|(key, value)| (key.as_str(), value))));
        for (TensorEntry { name, dimensions, tensor_type }, bytes) in
            tensors.iter().zip([vec![1; 12], vec![2; 10]])
        {
            let info = gguf.tensor(name).unwrap();
            assert_eq!((info.dimensions(), info.tensor_type()), (dimensions.as_slice(), *tensor_type));
            assert_eq!(gguf.data(info), bytes);
        }
    }

    #[test]
    fn an_incomplete_file_is_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        let create = |dimensions: &[usize], tensor_type| {
            GgufWriter::create(&path, &BTreeMap::new(), &[entry("t", dimensions, tensor_type)])
        };
        let error = |result: Result<(), LlamaError>| result.unwrap_err().to_string();
        assert!(
            error(create(&[2], TensorType::F32).unwrap().finish(|_| Ok(()))).contains("`t` was not written")
        );
        let mut writer = create(&[2], TensorType::F32).unwrap();
        assert!(error(writer.write(&[0; 7])).contains("tensor `t` has 7 bytes, 8 expected"));
        let mut writer = create(&[2], TensorType::F32).unwrap();
        writer.write(&[0; 8]).unwrap();
        assert!(error(writer.write(&[])).contains("has all its tensors already"));
        let q4_0 = TensorType::from_id(2).unwrap();
        assert!(error(create(&[33], q4_0).map(drop)).contains("shape [33] that Q4_0 cannot hold"));
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
