//! An index on disk: one safetensors file with the documents and chunks as JSON in tensors of bytes, the
//! words, the vectors as a matrix or within their graph, and in the metadata what they were made from
//! and a digest of it all.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::{Graph, Index, IndexOptions, UnitVector};
use crate::lexical::Lexicon;
use crate::{Chunk, Document, Embedder, Format, Metadata, RagError};

/// Raised whenever the file's layout or the way documents are cut changes, so that older files are
/// rebuilt.
const VERSION: &str = "5";

/// Names of the tensors, and of the digest in the metadata.
const CHUNKS: &str = "chunks";
const DOCUMENTS: &str = "documents";
const LEXICON: &str = "lexicon";
const VECTORS: &str = "vectors";
const GRAPH: &str = "graph";
const DIGEST: &str = "digest";

/// What an index is made from. A file made from something else is of no use.
pub(super) struct Key {
    embedder: String,
    dimension: usize,
    documents: String,
    embedded: &'static str,
}

impl Key {
    pub fn new<'a>(documents: &'a [Document], embedder: &dyn Embedder, options: IndexOptions) -> Self {
        let fields = |document: &'a Document| {
            let Document { id, title, text, source, format, metadata } = document;
            let Metadata { topic, language, updated, audience } = metadata;
            let optional = [topic, language, updated, audience];
            // A mark before each, so that an empty one is not like none.
            let optional = optional.into_iter().flat_map(|field| match field {
                Some(value) => [b"+".as_slice(), value.as_bytes()],
                None => [b"-".as_slice(), b""],
            });
            let format: &[u8] = if *format == Format::Plain { b"plain".as_slice() } else { b"markdown" };
            [id, title, text, source].map(String::as_bytes).into_iter().chain([format]).chain(optional)
        };
        let documents = digest(documents.iter().flat_map(fields));
        let embedded = if options.embed_titles { "titles and text" } else { "text" };
        Key { embedder: embedder.id().into(), dimension: embedder.dim(), documents, embedded }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let fields = [
            ("version", VERSION.to_string()),
            ("embedder", self.embedder.clone()),
            ("dimension", self.dimension.to_string()),
            ("documents", self.documents.clone()),
            ("embedded", self.embedded.to_string()),
        ];
        fields.map(|(name, value)| (name.to_string(), value)).into()
    }

    /// What differs from `metadata`, as a clause.
    fn difference(&self, metadata: &HashMap<String, String>) -> Option<String> {
        let expected = self.metadata();
        let differs = |name: &&str| metadata.get(*name) != expected.get(*name);
        let fields = ["version", "embedder", "dimension", "documents", "embedded"];
        let changed = fields.into_iter().find(differs)?;
        let of = |fields: &HashMap<String, String>| fields.get(changed).cloned().unwrap_or_default();
        let change = format!("has changed from `{}` to `{}`", of(metadata), of(&expected));
        Some(match changed {
            "documents" => "the documents have changed".into(),
            "embedded" => format!("what is embedded {change}"),
            "version" => format!("the index format {change}"),
            "dimension" => format!("the embedder's dimension {change}"),
            _ => format!("the embedder {change}"),
        })
    }
}

/// The index in the file at `path`, or why it cannot be used, as a clause.
pub(super) fn load(path: &Path, key: &Key) -> Result<Index, String> {
    if !path.exists() {
        return Err("for the first time".into());
    }
    let unreadable = |reason: String| format!("{} is not a readable index: {reason}", path.display());
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let metadata = header.metadata().as_ref().ok_or_else(|| unreadable("it has no metadata".into()))?;
    if let Some(difference) = key.difference(metadata) {
        return Err(difference);
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| unreadable(error.to_string()))?;
    read(&tensors, metadata, key).map_err(unreadable)
}

fn read(tensors: &SafeTensors, metadata: &HashMap<String, String>, key: &Key) -> Result<Index, String> {
    let tensor = |name: &str| tensors.tensor(name).map_err(|error| error.to_string());
    let (json, documents, lexicon) = (tensor(CHUNKS)?, tensor(DOCUMENTS)?, tensor(LEXICON)?);
    let graph = tensors.tensor(GRAPH).ok();
    let matrix = if graph.is_none() { Some(tensor(VECTORS)?) } else { None };
    let texts = [&json, &documents, &lexicon].map(Some);
    let stored = [graph.as_ref(), matrix.as_ref()];
    let stored = texts.into_iter().chain(stored).flatten();
    if metadata.get(DIGEST) != Some(&digest(stored.map(TensorView::data))) {
        return Err("its digest is wrong".into());
    }

    let chunks: Vec<Chunk> =
        serde_json::from_slice(json.data()).map_err(|error| format!("chunks: {error}"))?;
    let graph = graph.map(|graph| Graph::from_bytes(graph.data())).transpose()?;
    let vectors: Vec<UnitVector> = match (&graph, matrix) {
        (Some(graph), _) => graph.vectors(),
        (None, matrix) => {
            let (values, _) = matrix.as_ref().map(TensorView::data).unwrap_or_default().as_chunks();
            let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            values.chunks(key.dimension.max(1)).map(|row| row.to_vec().into()).collect()
        }
    };
    let documents =
        serde_json::from_slice(documents.data()).map_err(|error| format!("documents: {error}"))?;
    Index::from_parts(chunks, vectors, graph, documents, Lexicon::from_bytes(lexicon.data())?)
}

/// Writes the file whole or not at all: to a temporary one beside it, then renamed.
pub(super) fn save(path: &Path, key: &Key, index: &Index) -> Result<(), RagError> {
    let json = serde_json::to_vec(&index.chunks).map_err(|error| RagError::file(path, error))?;
    let documents = serde_json::to_vec(index.documents()).map_err(|error| RagError::file(path, error))?;
    let lexicon = index.lexicon.to_bytes().map_err(|error| RagError::file(path, error))?;
    let (name, dtype, shape, numbers) = match &index.graph {
        Some(graph) => {
            let bytes = graph.to_bytes().map_err(|error| RagError::file(path, error))?;
            (GRAPH, Dtype::U8, vec![bytes.len()], bytes)
        }
        None => {
            let values = index.vectors.iter().flat_map(|vector| vector.as_slice());
            let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
            (VECTORS, Dtype::F32, vec![index.vectors.len(), key.dimension], bytes)
        }
    };
    let mut metadata = key.metadata();
    metadata.insert(DIGEST.into(), digest([json.as_slice(), &documents, &lexicon, &numbers]));
    let tensors = [
        (CHUNKS, Dtype::U8, vec![json.len()], &json),
        (DOCUMENTS, Dtype::U8, vec![documents.len()], &documents),
        (LEXICON, Dtype::U8, vec![lexicon.len()], &lexicon),
        (name, dtype, shape, &numbers),
    ];
    let bytes = tensors
        .into_iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(dtype, shape, bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .and_then(|tensors| safetensors::serialize(tensors, Some(metadata)))
        .map_err(|error| RagError::file(path, error))?;

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(RagError::io(folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(RagError::io(folder))?;
    file.write_all(&bytes).map_err(RagError::io(path))?;
    file.as_file().sync_all().map_err(RagError::io(path))?;
    file.persist(path).map_err(|error| RagError::io(path)(error.error))?;
    Ok(())
}

/// SHA-256 of `parts`, each with its length, in hexadecimal.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
