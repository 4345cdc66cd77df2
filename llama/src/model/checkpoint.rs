//! Model checkpoints on disk: a configuration and named tensors, whatever the files' format.

mod fingerprint;
mod inventory;
pub(crate) mod names;
pub(crate) mod nf4;
mod permutation;
pub(crate) mod stored;
mod weights;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use engine::LlamaConfig;

use crate::error::LlamaError;
use crate::files::gguf::{Gguf, Storage};
use crate::files::safetensors::{INDEX, Safetensors};
use crate::model::config::{self, Architecture};

pub use weights::{CheckpointWeights, WeightForm};

/// An open checkpoint. Nothing but headers has been read; tensors are read one by one through
/// [`weights`](Self::weights).
#[derive(Debug)]
pub struct Checkpoint {
    architecture: Architecture,
    config: LlamaConfig,
    tensors: Tensors,
}

/// The tensors, in the format of the files.
#[derive(Debug)]
enum Tensors {
    Gguf(Gguf),
    Safetensors(Safetensors),
}

impl Checkpoint {
    /// Opens a `.gguf` file, a `.safetensors` file or index beside its `config.json`, or a directory
    /// that holds one or the other.
    ///
    /// # Errors
    /// If there is no model, or it cannot be read, or it is of no [`Architecture`] that is known, or its
    /// tensors are not those that its configuration describes.
    pub fn open(path: &Path) -> Result<Self, LlamaError> {
        let file = if path.is_dir() { find_in(path)? } else { path.to_path_buf() };
        let (architecture, config, tensors) = match file.extension().and_then(OsStr::to_str) {
            Some("gguf") => return Self::open_gguf(&file),
            Some("safetensors" | "json") => {
                let tensors = Safetensors::open(&file)?;
                let (architecture, config) = config::from_json(&file.with_file_name("config.json"))?;
                (architecture, config, Tensors::Safetensors(tensors))
            }
            _ if !file.exists() => return Err(LlamaError::file(&file, "no such file or directory")),
            _ => {
                let reason = "is neither a .gguf nor a .safetensors file nor a directory";
                return Err(LlamaError::file(&file, reason));
            }
        };
        let checkpoint = Self { architecture, config, tensors };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Opens the GGUF file `path`, whatever its name is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_gguf(path: &Path) -> Result<Self, LlamaError> {
        let gguf = Gguf::open(path)?;
        let (architecture, config) = config::from_gguf(&gguf)?;
        let checkpoint = Self { architecture, config, tensors: Tensors::Gguf(gguf) };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// The model's architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The file that holds the tensors, or the index of those that do.
    pub fn path(&self) -> &Path {
        match &self.tensors {
            Tensors::Gguf(gguf) => gguf.path(),
            Tensors::Safetensors(file) => file.path(),
        }
    }

    /// The GGUF file, where it is one: tokenizer and chat template are in its metadata.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.tensors {
            Tensors::Gguf(gguf) => Some(gguf),
            Tensors::Safetensors(_) => None,
        }
    }

    /// Whether any tensor is stored in quantized blocks.
    pub fn is_quantized(&self) -> bool {
        match &self.tensors {
            Tensors::Gguf(gguf) => gguf
                .tensors()
                .any(|(_, info)| !matches!(info.tensor_type().storage(), Some(Storage::Float(_)))),
            Tensors::Safetensors(file) => nf4::is_any_stored(file),
        }
    }

    /// The tensors as the engine takes them, placed on `device`.
    pub fn weights(&self, device: &Device) -> CheckpointWeights<'_> {
        CheckpointWeights::new(self, device)
    }
}

/// The file that holds a directory's tensors.
fn find_in(dir: &Path) -> Result<PathBuf, LlamaError> {
    let mut ggufs = Vec::new();
    let mut safetensors = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LlamaError::io(dir))? {
        let path = entry.map_err(LlamaError::io(dir))?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("gguf") => ggufs.push(path),
            Some("safetensors") => safetensors.push(path),
            _ => {}
        }
    }
    if dir.join("config.json").is_file() {
        for name in [INDEX, "model.safetensors"] {
            let path = dir.join(name);
            if path.is_file() {
                return Ok(path);
            }
        }
        if let [only] = safetensors.as_slice() {
            return Ok(only.clone());
        }
    }
    match ggufs.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(LlamaError::file(dir, nothing_in(dir, !safetensors.is_empty()))),
        several => {
            Err(LlamaError::file(dir, format!("holds {} .gguf files; name the one to use", several.len())))
        }
    }
}

/// Why a directory holds no model, and what to do.
fn nothing_in(dir: &Path, safetensors: bool) -> &'static str {
    if dir.join("adapter_config.json").is_file() {
        "holds an adapter, not a model; name the model it was trained on, and this as its adapter"
    } else if dir.join("pytorch_model.bin").is_file() {
        "holds pytorch_model.bin, which is not supported; convert it to safetensors"
    } else if safetensors {
        "holds safetensors files but lacks config.json or a model.safetensors.index.json that lists them"
    } else {
        "holds no model; config.json with model.safetensors, or one .gguf file, are needed"
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open_error(path: &Path) -> String {
        Checkpoint::open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_without_one_model_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert!(open_error(path).contains("holds no model"));
        fs::write(path.join("model.safetensors"), "").unwrap();
        assert!(open_error(path).contains("lacks config.json"));
        fs::write(path.join("pytorch_model.bin"), "").unwrap();
        assert!(open_error(path).contains("pytorch_model.bin"));
        fs::write(path.join("adapter_config.json"), "{}").unwrap();
        assert!(open_error(path).contains("holds an adapter"));
        fs::write(path.join("a.gguf"), "GGUF").unwrap();
        assert!(open_error(path).contains("a.gguf: "));
        fs::write(path.join("b.gguf"), "GGUF").unwrap();
        assert!(open_error(path).contains("holds 2 .gguf files"));
        fs::write(path.join("config.json"), "{}").unwrap();
        assert!(open_error(path).contains("model.safetensors: is not a whole safetensors file"));
        assert!(open_error(&path.join("absent")).contains("absent: no such file or directory"));
        assert!(open_error(&path.join("config")).contains("no such file"));
        assert!(open_error(&path.join("pytorch_model.bin")).contains("neither a .gguf nor a .safetensors"));
    }
}
