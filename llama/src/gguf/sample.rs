//! GGUF files made for tests, well-formed or not.

use super::tensor::TensorType;
use super::value::{Array, Value};

/// A GGUF file in the making.
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

    /// Another version number.
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

    /// Adds an entry to the directory, true or not.
    pub fn entry(mut self, name: &str, type_id: u32, dimensions: &[u64], offset: u64) -> Self {
        string(&mut self.directory, name);
        self.directory.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|dimension| self.directory.extend(dimension.to_le_bytes()));
        self.directory.extend(type_id.to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.entries += 1;
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            string(&mut out, key);
            write(&mut out, value);
        }
        out.extend(&self.directory);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(&self.data);
        out
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The types of value that tests use.
fn write(out: &mut Vec<u8>, value: &Value) {
    let kind = |out: &mut Vec<u8>, id: u32| out.extend(id.to_le_bytes());
    match value {
        Value::U8(value) => {
            kind(out, 0);
            out.push(*value);
        }
        Value::U16(value) => {
            kind(out, 2);
            out.extend(value.to_le_bytes());
        }
        Value::U32(value) => {
            kind(out, 4);
            out.extend(value.to_le_bytes());
        }
        Value::F32(value) => {
            kind(out, 6);
            out.extend(value.to_le_bytes());
        }
        Value::Bool(value) => {
            kind(out, 7);
            out.push((*value).into());
        }
        Value::String(text) => {
            kind(out, 8);
            string(out, text);
        }
        Value::Array(Array::I32(values)) => {
            kind(out, 9);
            kind(out, 5);
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
        Value::Array(Array::F32(values)) => {
            kind(out, 9);
            kind(out, 6);
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
        Value::Array(Array::String(texts)) => {
            kind(out, 9);
            kind(out, 8);
            out.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| string(out, text));
        }
        other => unimplemented!("{other:?} in a test file"),
    }
}
