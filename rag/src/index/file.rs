//! An index on disk: one safetensors file with the chunks as JSON in a tensor of bytes, the vectors as
//! a matrix, and what they were made from in the metadata. The graph is not in it: it follows from the
//! vectors in a fraction of the time that embedding takes.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::UnitVector;
use crate::{Chunk, Document, Embedder, RagError};

/// Raised whenever the file's layout or the way documents are cut changes, so that older files are
/// rebuilt.
const VERSION: &str = "1";

/// What an index is made from. A file made from something else is of no use.
pub(super) struct Key {
    embedder: String,
    dimension: usize,
    documents: String,
}

impl Key {
    pub fn new(documents: &[Document], embedder: &dyn Embedder) -> Self {
        let mut digest = Sha256::new();
        for Document { id, title, text, source } in documents {
            for field in [id, title, text, source] {
                digest.update((field.len() as u64).to_le_bytes());
                digest.update(field);
            }
        }
        let documents = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Key { embedder: embedder.id().into(), dimension: embedder.dim(), documents }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let fields = [
            ("version", VERSION.to_string()),
            ("embedder", self.embedder.clone()),
            ("dimension", self.dimension.to_string()),
            ("documents", self.documents.clone()),
        ];
        fields.map(|(name, value)| (name.to_string(), value)).into()
    }

    /// What `metadata` says otherwise, as a clause.
    fn difference(&self, metadata: &HashMap<String, String>) -> Option<String> {
        let expected = self.metadata();
        let differs = |name: &&str| metadata.get(*name) != expected.get(*name);
        let changed = ["version", "embedder", "dimension", "documents"].into_iter().find(differs)?;
        let of = |fields: &HashMap<String, String>| fields.get(changed).cloned().unwrap_or_default();
        let change = format!("has changed from `{}` to `{}`", of(metadata), of(&expected));
        Some(match changed {
            "documents" => "the documents have changed".into(),
            "version" => format!("the index format {change}"),
            "dimension" => format!("the embedder's dimension {change}"),
            _ => format!("the embedder {change}"),
        })
    }
}

/// The chunks and vectors of the file at `path`, or why they cannot be used.
pub(super) fn load(path: &Path, key: &Key) -> Result<(Vec<Chunk>, Vec<UnitVector>), String> {
    if !path.exists() {
        return Err(format!("{} does not exist", path.display()));
    }
    let unreadable = |reason: String| format!("{} is not a readable index: {reason}", path.display());
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let metadata = header.metadata().as_ref().ok_or_else(|| unreadable("it has no metadata".into()))?;
    if let Some(difference) = key.difference(metadata) {
        return Err(difference);
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| unreadable(error.to_string()))?;
    read(&tensors, key).map_err(unreadable)
}

fn read(tensors: &SafeTensors, key: &Key) -> Result<(Vec<Chunk>, Vec<UnitVector>), String> {
    let tensor = |name: &str| tensors.tensor(name).map_err(|error| error.to_string());
    let chunks: Vec<Chunk> =
        serde_json::from_slice(tensor("chunks")?.data()).map_err(|error| format!("chunks: {error}"))?;
    let matrix = tensor("vectors")?;
    if matrix.dtype() != Dtype::F32 || matrix.shape() != [chunks.len(), key.dimension] {
        let found = format!("{:?} {:?}", matrix.dtype(), matrix.shape());
        return Err(format!("vectors: {found}, expected F32 [{}, {}]", chunks.len(), key.dimension));
    }
    let (values, _) = matrix.data().as_chunks();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let vectors = values.chunks(key.dimension.max(1)).map(|row| UnitVector::new(row.to_vec()));
    let vectors: Option<Vec<_>> = vectors.collect();
    Ok((chunks, vectors.ok_or("vectors: a number is not finite")?))
}

/// Writes the file whole or not at all: to a temporary one beside it, then renamed.
pub(super) fn save(path: &Path, key: &Key, chunks: &[Chunk], vectors: &[UnitVector]) -> Result<(), RagError> {
    let bad = |error: &dyn std::fmt::Display| RagError::file(path, error);
    let chunks = serde_json::to_vec(chunks).map_err(|error| bad(&error))?;
    let values: Vec<u8> =
        vectors.iter().flat_map(|vector| vector.as_slice()).flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![vectors.len(), key.dimension];
    let tensors = [
        ("chunks", TensorView::new(Dtype::U8, vec![chunks.len()], &chunks).map_err(|error| bad(&error))?),
        ("vectors", TensorView::new(Dtype::F32, shape, &values).map_err(|error| bad(&error))?),
    ];
    let bytes = safetensors::serialize(tensors, Some(key.metadata())).map_err(|error| bad(&error))?;

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(RagError::io(folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(RagError::io(folder))?;
    file.write_all(&bytes).map_err(RagError::io(path))?;
    file.as_file().sync_all().map_err(RagError::io(path))?;
    file.persist(path).map_err(|error| RagError::io(path)(error.error))?;
    Ok(())
}
