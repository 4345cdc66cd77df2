//! Models written anew: with an adapter merged, in other formats, for other programs.
//!
//! ```text
//! checkpoint (GGUF, safetensors, NF4)          GGUF by a recipe                   llama.cpp
//!          + adapter                  ─────▶   folder in f16, bf16 or f32         transformers
//!      tensor by tensor, f32                   folder in NF4                      transformers
//! ```
//!
//! A merged weight is `W + (α/r)·B·A` in f32, rounded once to what is written. A tensor that has the
//! form asked for and no update is copied as it is. Nothing bears the output's name until it is whole.

mod check;
mod config_json;
mod folder;
mod metadata;
mod probe;
mod recipe;
mod source;

use std::path::{Path, PathBuf};

use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::gguf::{GgufWriter, Storage, TensorEntry, TensorType};
use crate::model::checkpoint::Checkpoint;
use crate::model::checkpoint::names::gguf_name;
use crate::model::config::{ROPE_FACTORS, rope_factors};
use crate::text::tokenizer::Tokenizer;

use check::ModelDescription;
use probe::Sums;
pub use recipe::Recipe;
use source::Source;

/// A model that is to be written anew.
#[derive(Debug)]
pub struct Export {
    source: Source,
    /// The folder of the model's files.
    folder: PathBuf,
}

impl Export {
    /// Opens the model at `path`, a file or folder, and the adapter in the folder `adapter`.
    ///
    /// # Errors
    /// If either cannot be read, or the adapter is another model's.
    pub fn open(path: &Path, adapter: Option<&Path>) -> Result<Self, LlamaError> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        Ok(Self { source: Source::open(path, adapter)?, folder: folder.to_path_buf() })
    }

    /// Writes the model as the GGUF file `output`, in place of a file that is there. `progress` is told
    /// how many tensors of how many are written.
    ///
    /// # Errors
    /// If a tensor cannot be read or does not suit the recipe, GGUF has no form for the tokenizer, or the
    /// file cannot be written; there is then no new file.
    pub fn write_gguf(
        &self,
        output: &Path,
        recipe: Recipe,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), LlamaError> {
        let Source { checkpoint, .. } = &self.source;
        let config = checkpoint.config();
        self.refuse_itself(output)?;
        let mut tensors: Vec<Planned> = Vec::new();
        for (name, shape) in self.source.tensors() {
            let storage = recipe.storage(&name, &shape, config);
            tensors.extend(Planned::new(name, shape, storage));
        }
        let factors = self.rope_factors();
        if let Some(factors) = &factors {
            tensors.push(Planned {
                entry: TensorEntry {
                    name: ROPE_FACTORS.into(),
                    dimensions: vec![factors.len() / Float::F32.bytes()],
                    tensor_type: TensorType::F32,
                },
                from: None,
            });
        }
        // llama.cpp's order: what belongs to no layer, then layer by layer.
        tensors.sort_by_cached_key(|planned| planned.place());

        let entries: Vec<TensorEntry> = tensors.iter().map(|planned| planned.entry.clone()).collect();
        let mut writer = GgufWriter::create(output, &self.metadata(recipe)?, &entries)?;
        let mut sums = Sums::default();
        for (index, planned) in tensors.iter().enumerate() {
            match &planned.from {
                Some((name, shape, storage)) => {
                    let encoded = self.source.encoded(name, shape, *storage)?;
                    writer.write(&checkpoint.gguf_order(&encoded.bytes, name, shape[0])?)?;
                    sums.note(name, &encoded);
                }
                None => writer.write(factors.as_deref().unwrap_or_default())?,
            }
            progress(index + 1, tensors.len());
        }
        writer.finish(|written| {
            self.check(output, ModelDescription::gguf(written), || Checkpoint::open_gguf(written), &sums)
        })
    }

    /// Compares what was written with the model: how it describes itself, what its tensors are, and what it answers.
    fn check(
        &self,
        output: &Path,
        written: Result<ModelDescription, LlamaError>,
        checkpoint: impl FnOnce() -> Result<Checkpoint, LlamaError>,
        sums: &Sums,
    ) -> Result<(), LlamaError> {
        let source = ModelDescription::source(&self.source.checkpoint, &self.folder, self.tokenizer()?)?;
        let source = match self.source.adapter.as_ref().and_then(|adapter| adapter.chat_template.as_ref()) {
            Some(template) => source.with_template(template)?,
            None => source,
        };
        let unlike = |reason: String| LlamaError::file(output, format!("is not written: {reason}"));
        let written = written.map_err(|error| unlike(error.to_string()))?;
        source.check_same(&written).map_err(unlike)?;
        let checkpoint = checkpoint().map_err(|error| unlike(error.to_string()))?;
        sums.check(&checkpoint).map_err(|error| unlike(error.to_string()))?;
        sums.check_answers(&self.source, &checkpoint, &source.prompts()).map_err(unlike)
    }

    /// The divisors of Llama 3's scaling as their tensor holds them.
    fn rope_factors(&self) -> Option<Vec<u8>> {
        let checkpoint = &self.source.checkpoint;
        let stored = checkpoint.gguf().and_then(|gguf| Some(gguf.data(gguf.tensor(ROPE_FACTORS)?).to_vec()));
        stored.or_else(|| rope_factors(checkpoint.config()).map(|factors| Float::F32.encode(&factors)))
    }

    /// Refuses to overwrite the model that is exported, since quantizing is lossy.
    fn refuse_itself(&self, output: &Path) -> Result<(), LlamaError> {
        let model = self.source.checkpoint.path().canonicalize();
        match (model, output.canonicalize()) {
            (Ok(model), Ok(output)) if model == output => {
                Err(LlamaError::file(&output, "is the model itself; name another file"))
            }
            _ => Ok(()),
        }
    }

    fn tokenizer(&self) -> Result<Tokenizer, LlamaError> {
        let checkpoint: &Checkpoint = &self.source.checkpoint;
        let tokenizer = match checkpoint.gguf() {
            Some(gguf) => Tokenizer::from_gguf(gguf),
            None => Tokenizer::from_dir(&self.folder),
        };
        tokenizer.map_err(|error| LlamaError::file(&self.folder, error.to_string()))
    }
}

/// A tensor of a GGUF that is to be written.
struct Planned {
    entry: TensorEntry,
    /// Name, shape and form of the tensor that it is made from, if any.
    from: Option<(String, Vec<usize>, Storage)>,
}

impl Planned {
    /// `None` if GGUF has no such tensor, which is none that [`names::tensors`](crate::model::checkpoint::names) lists.
    fn new(name: String, shape: Vec<usize>, storage: Storage) -> Option<Self> {
        let entry = TensorEntry {
            name: gguf_name(&name)?,
            dimensions: shape.iter().rev().copied().collect(),
            tensor_type: TensorType::of(storage)?,
        };
        Some(Self { entry, from: Some((name, shape, storage)) })
    }

    fn place(&self) -> (Option<usize>, String) {
        let layer =
            self.entry.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse().ok());
        (layer, self.entry.name.clone())
    }
}

#[cfg(test)]
mod tests;
