//! safetensors files: one file, or several with an index.

mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use ::safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::mapped_file::{MappedFile, MappedPages};

pub(crate) use writer::SafetensorsWriter;

/// Name of the index of a model in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The tensors of one safetensors file, or of all files that an index names, memory-mapped.
#[derive(Debug)]
pub struct Safetensors {
    shards: Vec<Shard>,
    /// Which shard holds a tensor, and under which name.
    names: BTreeMap<String, (usize, String)>,
    path: PathBuf,
}

/// Parts that `torch.compile`, FSDP and data parallelism add to the names of the modules that they wrap.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "module"];

/// The tensor's name without the parts that wrapping added.
fn unwrapped(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    parts.join(".")
}

#[derive(Debug)]
struct Shard {
    file: MappedFile,
    metadata: Metadata,
    data_start: usize,
}

/// Records which shard holds a tensor.
fn insert(
    names: &mut BTreeMap<String, (usize, String)>,
    path: &Path,
    stored: String,
    shard: usize,
) -> Result<(), LlamaError> {
    let name = unwrapped(&stored);
    match names.insert(name, (shard, stored.clone())) {
        None => Ok(()),
        Some((_, other)) => {
            Err(LlamaError::tensor(path, &stored, format!("and `{other}` are one tensor of the model")))
        }
    }
}

impl Safetensors {
    /// Opens a `.safetensors` file, or the `.json` index of several.
    ///
    /// # Errors
    /// If a file cannot be read or is malformed, or the index names a file or tensor that is not
    /// there.
    pub fn open(path: &Path) -> Result<Self, LlamaError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::open_index(path);
        }
        let shard = Shard::open(path)?;
        let mut names = BTreeMap::new();
        for name in shard.metadata.offset_keys() {
            insert(&mut names, path, name, 0)?;
        }
        Ok(Self { shards: vec![shard], names, path: path.to_path_buf() })
    }

    fn open_index(path: &Path) -> Result<Self, LlamaError> {
        let weight_map = read_index(path)?;
        let mut shards: Vec<Shard> = Vec::new();
        let mut opened: BTreeMap<&str, usize> = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (name, file) in &weight_map {
            let shard = match opened.get(file.as_str()) {
                Some(&shard) => shard,
                None => {
                    shards.push(Shard::open(&path.with_file_name(file))?);
                    opened.insert(file, shards.len() - 1);
                    shards.len() - 1
                }
            };
            if shards.get(shard).is_none_or(|shard| shard.metadata.info(name).is_none()) {
                return Err(LlamaError::tensor(
                    path,
                    name,
                    format!("is not in `{file}`, where the index says"),
                ));
            }
            insert(&mut names, path, name.clone(), shard)?;
        }
        Ok(Self { shards, names, path: path.to_path_buf() })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, info)| info.shape.as_slice())
    }

    fn find(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let (shard, stored) = self.names.get(name)?;
        let shard = self.shards.get(*shard)?;
        Some((shard, shard.metadata.info(stored)?))
    }

    /// The numbers of a tensor, which must have this shape, as f32. The pages of its file are given back.
    ///
    /// # Errors
    /// If it is missing, has another shape, or is not f32, f16 or bf16.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LlamaError> {
        let (float, pages) = self.floats(name, shape)?;
        Ok(float.decode(&pages))
    }

    /// Some rows of a matrix, which must have this shape, one after another as f32. Their pages stay mapped, so that
    /// a table of which few rows are ever wanted takes no memory but for these.
    ///
    /// # Errors
    /// As [`read`](Self::read), or if there is no such row.
    pub fn rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<f32>, LlamaError> {
        let [count, width] = shape;
        let (dtype, shard, range) = self.place(name, &shape)?;
        let float = float(dtype).map_err(|reason| LlamaError::tensor(shard.file.path(), name, reason))?;
        let table = shard.file.bytes().get(range).unwrap_or_default();
        let row_bytes = width * float.bytes();
        let mut values = Vec::new();
        for row in rows {
            let bytes = row.checked_mul(row_bytes).and_then(|start| table.get(start..start + row_bytes));
            let bytes = bytes.filter(|_| row < count).ok_or_else(|| {
                LlamaError::tensor(shard.file.path(), name, format!("has {count} rows, and no row {row}"))
            })?;
            values.extend(float.decode(bytes));
        }
        Ok(values)
    }

    /// The numbers of a tensor, which must have this shape, as they are stored.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn floats(&self, name: &str, shape: &[usize]) -> Result<(Float, MappedPages<'_>), LlamaError> {
        let (dtype, pages) = self.pages(name, shape)?;
        let float = float(dtype).map_err(|reason| LlamaError::tensor(pages.path(), name, reason))?;
        Ok((float, pages))
    }

    /// The bytes of a tensor, which must have this type and shape.
    ///
    /// # Errors
    /// If it is missing, or has another type or shape.
    pub(crate) fn bytes(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
    ) -> Result<MappedPages<'_>, LlamaError> {
        match self.pages(name, shape)? {
            (found, pages) if found == dtype => Ok(pages),
            (found, pages) => {
                let reason = format!("has the type {found:?}, expected {dtype:?}");
                Err(LlamaError::tensor(pages.path(), name, reason))
            }
        }
    }

    fn pages(&self, name: &str, shape: &[usize]) -> Result<(Dtype, MappedPages<'_>), LlamaError> {
        let (dtype, shard, range) = self.place(name, shape)?;
        let outside = || LlamaError::tensor(shard.file.path(), name, "lies outside the file");
        Ok((dtype, shard.file.pages(range).ok_or_else(outside)?))
    }

    /// The type of a tensor, which must have this shape, and where it lies in which file.
    fn place(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &Shard, Range<usize>), LlamaError> {
        let Some((shard, info)) = self.find(name) else {
            return Err(LlamaError::tensor(&self.path, name, "is missing"));
        };
        let error = |reason| LlamaError::tensor(shard.file.path(), name, reason);
        if info.shape != shape {
            return Err(error(format!("has the shape {:?}, expected {shape:?}", info.shape)));
        }
        let (start, end) = info.data_offsets;
        Ok((info.dtype, shard, shard.data_start.saturating_add(start)..shard.data_start.saturating_add(end)))
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self, LlamaError> {
        let file = MappedFile::open(path)?;
        let (header_len, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(|error| {
            LlamaError::file(path, format!("is not a whole safetensors file ({error}): truncated download?"))
        })?;
        Ok(Self { file, metadata, data_start: size_of::<u64>() + header_len })
    }
}

/// The floating-point type of a tensor.
fn float(dtype: Dtype) -> Result<Float, String> {
    match dtype {
        Dtype::F32 => Ok(Float::F32),
        Dtype::F16 => Ok(Float::F16),
        Dtype::BF16 => Ok(Float::BF16),
        other => Err(format!("has the type {other:?}; F32, F16 and BF16 can be loaded")),
    }
}

/// The index of a model in several files: which file holds a tensor. File names are checked to be
/// plain names: a path could point to any file of the machine.
pub(crate) fn read_index(path: &Path) -> Result<BTreeMap<String, String>, LlamaError> {
    #[derive(serde::Deserialize)]
    struct IndexJson {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read(path).map_err(LlamaError::io(path))?;
    let index: IndexJson =
        serde_json::from_slice(&text).map_err(|error| LlamaError::file(path, error.to_string()))?;
    for file in index.weight_map.values() {
        let mut parts = Path::new(file).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || file.contains(['/', '\\', ':', '\0']) {
            return Err(LlamaError::file(path, format!("names the shard {file:?}, which is no file name")));
        }
    }
    Ok(index.weight_map)
}

#[cfg(test)]
mod tests {
    use ::safetensors::tensor::TensorView;

    use super::*;

    /// Saves tensors as `(name, type, shape, bytes)`.
    fn save(path: &Path, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.to_string(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
        ::safetensors::serialize_to_file(views, None, path).unwrap();
    }

    #[test]
    fn names_of_wrapped_modules_are_the_models() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let one: (Dtype, &[usize], &[u8]) = (Dtype::F32, &[1], &[0, 0, 0x80, 0x3f]);
        let tensor = |name| (name, one.0, one.1, one.2);
        let wrapped =
            ["_orig_mod.model.norm.weight", "module.lm_head.weight", "model._fsdp_wrapped_module.a"];
        save(&path, &wrapped.map(tensor));
        let file = Safetensors::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["lm_head.weight", "model.a", "model.norm.weight"]);
        assert_eq!(file.read("model.norm.weight", &[1]).unwrap(), [1.0]);
        save(&path, &["a", "_orig_mod.a"].map(tensor));
        let error = Safetensors::open(&path).unwrap_err().to_string();
        assert!(error.contains("are one tensor of the model"), "{error}");
    }

    #[test]
    fn every_float_is_read_as_f32() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let tensors: [(&str, Dtype, &[usize], &[u8]); 4] = [
            ("a", Dtype::F32, &[1, 2], &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]),
            ("b", Dtype::F16, &[2], &[0, 0x3c, 0, 0xc0]),
            ("c", Dtype::BF16, &[1], &[0x80, 0x3f]),
            ("d", Dtype::I32, &[1], &[0; 4]),
        ];
        save(&path, &tensors);
        let file = Safetensors::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(file.shape("a"), Some(&[1, 2][..]));
        assert_eq!(file.read("a", &[1, 2]).unwrap(), [1.0, -2.0]);
        assert_eq!(file.read("b", &[2]).unwrap(), [1.0, -2.0]);
        assert_eq!(file.read("c", &[1]).unwrap(), [1.0]);
        for (name, shape, reason) in [
            ("a", &[2, 1][..], "model.safetensors: tensor `a` has the shape [1, 2], expected [2, 1]"),
            ("d", &[1], "tensor `d` has the type I32; F32, F16 and BF16 can be loaded"),
            ("e", &[1], "tensor `e` is missing"),
        ] {
            let error = file.read(name, shape).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn rows_are_read_in_the_order_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let table: Vec<u8> = [1.0, 2.0, 3.0, 4.0].into_iter().flat_map(|x| Float::F16.encode(&[x])).collect();
        save(&path, &[("a", Dtype::F16, &[2, 2], &table)]);
        let file = Safetensors::open(&path).unwrap();
        assert_eq!(file.rows("a", [2, 2], [1, 0, 1]).unwrap(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        let error = file.rows("a", [2, 2], [2]).unwrap_err().to_string();
        assert!(error.contains("`a` has 2 rows, and no row 2"), "{error}");
        assert!(file.rows("a", [2, 2], [usize::MAX]).is_err());
    }

    #[test]
    fn shards_are_found_through_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join(INDEX);
        save(&dir.path().join("one.safetensors"), &[("a", Dtype::F32, &[1], &[0, 0, 0x80, 0x3f])]);
        save(&dir.path().join("two.safetensors"), &[("b", Dtype::F32, &[1], &[0, 0, 0, 0xc0])]);
        let open = |text: &str| {
            std::fs::write(&index, text).unwrap();
            Safetensors::open(&index)
        };
        let file = open(r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#).unwrap();
        assert_eq!(file.read("a", &[1]).unwrap(), [1.0]);
        assert_eq!(file.read("b", &[1]).unwrap(), [-2.0]);

        for (text, reason) in [
            (r#"{"weight_map": {"a": "two.safetensors"}}"#, "tensor `a` is not in `two.safetensors`"),
            (r#"{"weight_map": {"a": "three.safetensors"}}"#, "three.safetensors: No such file"),
            (r#"{"weight_map": {"a": "../one.safetensors"}}"#, "which is no file name"),
            (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "which is no file name"),
            (r#"{"weight_map": {"a": "..\\one.safetensors"}}"#, "which is no file name"),
            (r#"{"weight_map": {"a": ".."}}"#, "which is no file name"),
            (r#"{"weight_map": {"a": ""}}"#, "which is no file name"),
            (r#"{"weights": {}}"#, "missing field `weight_map`"),
        ] {
            let error = open(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// The official library's verdict on valid and malformed files.
    #[test]
    fn verdicts_agree_with_the_official_library() {
        let Some(data) = std::env::var_os("CONFORMANCE_DATA") else {
            eprintln!("skipped: CONFORMANCE_DATA is not set");
            return;
        };
        #[derive(serde::Deserialize)]
        struct Case {
            file: String,
            verdict: String,
            detail: serde_json::Value,
        }
        let dir = Path::new(&data).join("safetensors_files");
        let index = std::fs::read(dir.join("index.json")).unwrap();
        let cases: Vec<Case> = serde_json::from_slice(&index).unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let opened = Safetensors::open(&dir.join(&case.file));
            assert_eq!(opened.is_ok(), case.verdict == "accept", "{}: {opened:?}", case.file);
            if let (Ok(file), Some(tensors)) = (opened, case.detail.as_array()) {
                assert_eq!(file.names().count(), tensors.len(), "{}", case.file);
                for tensor in tensors {
                    let shape: Vec<usize> = serde_json::from_value(tensor[2].clone()).unwrap();
                    let name = tensor[0].as_str().unwrap();
                    assert_eq!(file.shape(name), Some(shape.as_slice()), "{}: {name}", case.file);
                }
            }
        }
    }
}
