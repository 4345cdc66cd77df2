//! Writes safetensors files, tensor by tensor: no more than one tensor is in memory.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::LlamaError;
use crate::files::atomic_write::Staged;

/// Writes a safetensors file under a temporary name, which [`finish`](Self::finish) replaces by its own. Dropped before
/// that, the file is deleted.
#[derive(Debug)]
pub(crate) struct SafetensorsWriter {
    staged: Staged,
    /// Where the data begins.
    data_start: usize,
    /// Where in the data the tensors that are still to be written lie.
    expected: BTreeMap<String, (usize, usize)>,
}

impl SafetensorsWriter {
    /// Begins the file `path`, which will hold `tensors`: name, type and shape.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(path: &Path, mut tensors: Vec<(String, Dtype, Vec<usize>)>) -> Result<Self, LlamaError> {
        // As the official library does: the widest type first, so that every tensor is aligned.
        tensors.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut end = 0;
        let mut expected = BTreeMap::new();
        let mut infos = Vec::with_capacity(tensors.len());
        for (name, dtype, shape) in tensors {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            expected.insert(name.clone(), (start, end));
            infos.push((name, TensorInfo { dtype, shape, data_offsets: (start, end) }));
        }
        // transformers refuses a file that does not say which framework it is from.
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        let invalid = |reason: String| LlamaError::file(path, reason);
        let metadata = Metadata::new(Some(metadata), infos).map_err(|error| invalid(error.to_string()))?;
        let mut header = serde_json::to_string(&metadata).map_err(|error| invalid(error.to_string()))?;
        while !header.len().is_multiple_of(size_of::<u64>()) {
            header.push(' ');
        }

        let mut staged = Staged::create(path)?;
        let length = header.len() as u64;
        let file = staged.file();
        let written = file
            .write_all(&length.to_le_bytes())
            .and_then(|()| file.write_all(header.as_bytes()))
            .and_then(|()| file.set_len((size_of::<u64>() + header.len() + end) as u64));
        written.map_err(LlamaError::io(path))?;
        Ok(Self { staged, data_start: size_of::<u64>() + header.len(), expected })
    }

    /// Writes the tensor `name`; the order is free.
    ///
    /// # Errors
    /// If there is none of that name left, or `bytes` is not as long as its type and shape say, or the
    /// file cannot be written.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), LlamaError> {
        let path = self.staged.path().to_path_buf();
        let place = self.expected.remove(name);
        let (start, end) = place.ok_or_else(|| LlamaError::tensor(&path, name, "was not announced"))?;
        if bytes.len() != end - start {
            let reason = format!("has {} bytes, {} expected", bytes.len(), end - start);
            return Err(LlamaError::tensor(&path, name, reason));
        }
        let file = self.staged.file();
        let written =
            file.seek(SeekFrom::Start((self.data_start + start) as u64)).and_then(|_| file.write_all(bytes));
        written.map_err(LlamaError::io(&path))
    }

    /// Renames the complete file to its own path, replacing a file that is there.
    ///
    /// # Errors
    /// If a tensor was not written, or the file cannot be written.
    pub fn finish(self) -> Result<(), LlamaError> {
        match self.expected.keys().next() {
            Some(name) => Err(LlamaError::tensor(self.staged.path(), name, "was not written")),
            None => self.staged.commit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::safetensors::Safetensors;

    fn tensors() -> Vec<(String, Dtype, Vec<usize>)> {
        vec![
            ("bytes".into(), Dtype::U8, vec![3]),
            ("half".into(), Dtype::F16, vec![1, 1]),
            ("whole".into(), Dtype::F32, vec![2]),
        ]
    }

    #[test]
    fn what_is_written_in_any_order_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let mut writer = SafetensorsWriter::create(&path, tensors()).unwrap();
        writer.write("bytes", &[1, 2, 3]).unwrap();
        writer.write("whole", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]).unwrap();
        writer.write("half", &[0, 0x3c]).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        let file = Safetensors::open(&path).unwrap();
        assert_eq!(file.read("whole", &[2]).unwrap(), [1.0, -2.0]);
        assert_eq!(file.read("half", &[1, 1]).unwrap(), [1.0]);
        assert_eq!(&*file.bytes("bytes", Dtype::U8, &[3]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn an_incomplete_file_is_never_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let mut writer = SafetensorsWriter::create(&path, tensors()).unwrap();
        for (name, reason) in [("half", "`half` has 3 bytes, 2 expected"), ("other", "was not announced")] {
            let error = writer.write(name, &[0; 3]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let error = writer.finish().unwrap_err().to_string();
        assert!(error.contains("`bytes` was not written"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
