//! GGUF files: metadata and a directory of tensors, in one memory-mapped file.
//!
//! ```text
//! "GGUF" | version | tensor count | metadata count
//! metadata: key, type, value                  … × metadata count
//! tensors:  name, dimensions, type, offset    … × tensor count
//! padding to the alignment
//! tensor data, each tensor at its offset from here
//! ```
//!
//! Everything a file says is untrusted: no count, length or offset is used before it was compared
//! with the bytes that are there.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

mod header;
mod reader;
#[cfg(test)]
pub(crate) mod sample;
mod tensor;
mod value;
mod writer;

use std::path::Path;

pub use tensor::{Storage, TensorInfo, TensorType};
pub use value::{Array, Value};
pub use writer::{GgufWriter, TensorEntry};

use crate::error::LlamaError;
use crate::files::mapped_file::{MappedFile, MappedPages};
use header::Header;

/// An open GGUF file, version 2 or 3.
#[derive(Debug)]
pub struct Gguf {
    file: MappedFile,
    header: Header,
}

impl Gguf {
    /// Opens and checks a file: after this, every tensor of its directory lies within it.
    ///
    /// # Errors
    /// If the file cannot be read, is no GGUF of version 2 or 3, is truncated or contradicts itself,
    /// or is one part of a model split over several files.
    pub fn open(path: &Path) -> Result<Self, LlamaError> {
        let file = MappedFile::open(path)?;
        let header = Header::parse(file.bytes()).map_err(|reason| LlamaError::file(path, reason))?;
        let gguf = Self { file, header };
        match gguf.metadata("split.count").and_then(Value::as_u64) {
            Some(parts) if parts > 1 => Err(LlamaError::file(
                path,
                format!("is one of {parts} parts; join them with `llama-gguf-split --merge` first"),
            )),
            _ => Ok(gguf),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The value of a metadata key, such as `general.architecture`.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(key)
    }

    /// All metadata, in the order of the keys.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.header.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The directory entry of a tensor, such as `token_embd.weight`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.get(name)
    }

    /// The directory of tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.header.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// The bytes of a tensor. `info` must come from this file; one of another file whose range lies beyond this file
    /// gives an empty slice.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        self.file.bytes().get(info.range()).unwrap_or_default()
    }

    /// The bytes of a tensor of this file. Dropping them gives their pages back to the system.
    pub(crate) fn pages(&self, info: &TensorInfo) -> Result<MappedPages<'_>, LlamaError> {
        let pages = self.file.pages(info.range());
        pages.ok_or_else(|| LlamaError::file(self.path(), "has no such tensor"))
    }
}

#[cfg(test)]
mod tests {
    use super::sample::GgufSample;
    use super::*;

    fn saved(sample: &GgufSample) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, sample.bytes()).unwrap();
        (dir, path)
    }

    #[test]
    fn metadata_and_tensors_come_back() {
        let sample = GgufSample::new()
            .with("general.architecture", Value::String("llama".into()))
            .with("llama.block_count", Value::U32(3))
            .with("tokenizer.ggml.tokens", Value::Array(Array::String(vec!["a".into(), "b".into()])))
            .tensor("x", TensorType::F32, &[2, 1], &[1, 2, 3, 4, 5, 6, 7, 8])
            .tensor("y", TensorType::F16, &[1], &[9, 10]);
        let (_dir, path) = saved(&sample);
        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(gguf.metadata("general.architecture").and_then(Value::as_str), Some("llama"));
        assert_eq!(gguf.metadata("llama.block_count").and_then(Value::as_u64), Some(3));
        assert_eq!(gguf.metadata("tokenizer.ggml.tokens").unwrap().as_strings(), Some(vec!["a", "b"]));
        assert!(gguf.metadata("absent").is_none());
        assert_eq!(gguf.all_metadata().count(), 3);

        let x = gguf.tensor("x").unwrap();
        assert_eq!((x.dimensions(), x.tensor_type()), (&[2, 1][..], TensorType::F32));
        assert_eq!(gguf.data(x), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(&*gguf.pages(x).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(gguf.data(gguf.tensor("y").unwrap()), [9, 10]);
        assert_eq!(gguf.tensors().map(|(name, _)| name).collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn errors_name_the_file() {
        let (_dir, path) = saved(&GgufSample::new().with("split.count", Value::U16(3)));
        let error = Gguf::open(&path).unwrap_err().to_string();
        assert!(error.contains("model.gguf: is one of 3 parts"), "{error}");
        std::fs::write(&path, b"PK\x03\x04 something else").unwrap();
        let error = Gguf::open(&path).unwrap_err().to_string();
        assert!(error.contains("model.gguf: is not a GGUF file"), "{error}");
    }
}
