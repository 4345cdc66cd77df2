//! Loads the model, its adapter and the knowledge base, and says on stderr what it loads.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::KvCache;
use engine::device::Device;
use llama::hub::{self, catalog};
use llama::{Adapter, CachedLlama, ChatTemplate, Model, Tokenizer};
use rag::{Document, IndexOptions, Knowledge, MiniLm, Retriever};

use crate::assets;
use crate::cli::{CacheType, ModelArgs};
use crate::prompt::{Grounding, PromptWriter};
use crate::state::Search;

/// Positions of the key/value cache where the command line does not say: enough for a context of the
/// models that this serves on a CPU, and for tens of requests of usual length side by side.
const MAX_POSITIONS: usize = 8192;

/// A model ready to answer.
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// The model with its cache.
    pub model: CachedLlama,
    /// Writes its prompts.
    pub prompts: PromptWriter,
}

/// Loads the model that the command line names.
///
/// # Errors
/// If a file is missing or broken, or the adapter is another model's.
pub fn model(arguments: &ModelArgs) -> anyhow::Result<Loaded> {
    let device = engine::device::parse(&arguments.device)?;
    let reference = arguments.model.as_deref().unwrap_or(catalog::DEFAULT_MODEL);
    eprintln!("loading model {reference}");
    let Model { mut llama, tokenizer, chat_template, name, path } = Model::open(reference, &device)?;
    let mut template = chat_template;
    let mut grounding = if template.is_some() { Grounding::Chat } else { Grounding::Instruction };
    if let Some(folder) = adapter_folder(arguments) {
        eprintln!("loading adapter {}", folder.display());
        let adapter = Adapter::load_onto(&folder, &mut llama, &path)?;
        if let Some(warning) = Adapter::warn_of_other_base(&folder, &path) {
            eprintln!("warning: {warning}");
        }
        grounding = Grounding::Instruction;
        if let Some(source) = adapter.chat_template {
            template =
                Some(adapter_template(&source, &tokenizer).with_context(|| folder.display().to_string())?);
            grounding = Grounding::AdapterTemplate;
        }
    }
    let context = llama.config().max_position_embeddings;
    let kept = CacheType::on(arguments.cache_type, llama.device())?;
    let most = KvCache::most_positions(llama.config(), kept, llama.device()).unwrap_or(usize::MAX);
    if let Some(asked) = arguments.context.filter(|asked| *asked > most) {
        anyhow::bail!("--context {asked}: this device's tensors hold {most} positions of this model at most");
    }
    let positions = arguments.context.unwrap_or_else(|| context.min(MAX_POSITIONS).min(most));
    let model = CachedLlama::new(llama, positions, kept);
    Ok(Loaded { name, model, prompts: PromptWriter { tokenizer, template, grounding } })
}

/// The shipped adapter belongs to the default model: it applies only where neither is named.
fn adapter_folder(arguments: &ModelArgs) -> Option<PathBuf> {
    match (&arguments.adapter, &arguments.model) {
        (Some(none), _) if none == "none" => None,
        (Some(folder), _) => Some(folder.into()),
        (None, Some(_)) => None,
        (None, None) => assets::adapter(),
    }
}

fn adapter_template(source: &str, tokenizer: &Tokenizer) -> Result<ChatTemplate, llama::TemplateError> {
    let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
    ChatTemplate::new(source, &spelling(tokenizer.bos()), &spelling(tokenizer.eos().first().copied()))
}

/// Opens the knowledge base that the command line names; `None` if there is none.
///
/// # Errors
/// If the embedder or every document cannot be read; where `strict` is set, if any document cannot.
pub fn knowledge(argument: Option<&str>, strict: bool, device: &Device) -> anyhow::Result<Option<Search>> {
    let folder = match argument {
        Some("none") => None,
        Some(folder) => Some(folder.into()),
        None => assets::knowledge(),
    };
    let Some(folder) = folder else { return Ok(None) };
    let retriever = retriever(&folder, strict, device, IndexOptions::default())?;
    Ok(Some(Box::new(move |question, k| Ok(retriever.search(question, k)?))))
}

/// Opens a knowledge base.
///
/// # Errors
/// If there is no document, with `strict` if one cannot be read, or if the embedder cannot.
pub fn retriever(
    folder: &Path,
    strict: bool,
    device: &Device,
    options: IndexOptions,
) -> anyhow::Result<Retriever> {
    // Documents first: what is wrong with them is known at once.
    eprintln!("loading knowledge {}", folder.display());
    let documents = documents(folder, strict)?;
    eprintln!("loading embedder {}", catalog::DEFAULT_EMBEDDER);
    let embedder = MiniLm::open(&hub::resolve(catalog::DEFAULT_EMBEDDER)?, device)?;
    let cache = index_file(folder, options);
    let retriever = Retriever::of(&documents, Box::new(embedder), options, cache.as_deref())?;
    eprintln!("{}", retriever.origin());
    Ok(retriever)
}

/// Reads the documents, and says which are left out and why.
fn documents(folder: &Path, strict: bool) -> anyhow::Result<Vec<Document>> {
    if strict {
        return Ok(Knowledge::read_strictly(folder).context("--strict")?.documents);
    }
    let Knowledge { documents, skipped, ignored } = Knowledge::read(folder)?;
    for error in &skipped {
        eprintln!("skipped {error}");
    }
    eprintln!("{} documents; {} skipped, {ignored} other files ignored", documents.len(), skipped.len());
    Ok(documents)
}

/// Where the index of a knowledge base is kept between starts; nowhere if there is no place for it.
fn index_file(folder: &Path, options: IndexOptions) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    folder.canonicalize().ok()?.hash(&mut hasher);
    if options != IndexOptions::default() {
        options.embed_titles.hash(&mut hasher); // beside the index that is served
    }
    let indexes = hub::cache_dir().join("indexes");
    fs::create_dir_all(&indexes).ok()?;
    Some(indexes.join(format!("{:016x}.index", hasher.finish())))
}
