//! GGUF files made for tests, well-formed or not.

use super::tensor::TensorType;
use super::value::Value;
use super::writer::{put_entry, put_string, put_value};

/// Builds a GGUF file in memory.
#[derive(Debug, Clone)]
pub(crate) struct GgufSample {
    version: u32,
    metadata: Vec<(String, Value)>,
    directory: Vec<u8>,
    entries: u64,
    data: Vec<u8>,
}

const ALIGNMENT: usize = 32;

impl GgufSample {
    /// An empty file of version 3.
    pub fn new() -> Self {
        Self { version: 3, metadata: vec![], directory: vec![], entries: 0, data: vec![] }
    }

    /// Sets the version number.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Adds metadata.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.push((key.into(), value));
        self
    }

    /// Adds a tensor, `dimensions` innermost first, and its data.
    pub fn tensor(mut self, name: &str, tensor_type: TensorType, dimensions: &[u64], data: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        let offset = self.data.len() as u64;
        self.data.extend(data);
        self.entry(name, tensor_type.id(), dimensions, offset)
    }

    /// Adds an entry to the directory, which need not match the data.
    pub fn entry(mut self, name: &str, type_id: u32, dimensions: &[u64], offset: u64) -> Self {
        put_entry(&mut self.directory, name, type_id, dimensions.iter().copied(), offset);
        self.entries += 1;
        self
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut out, key);
            put_value(&mut out, value);
        }
        out.extend(&self.directory);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(&self.data);
        out
    }
}
