//! Loads the model and its adapter, and says on stderr what it loads.

use std::path::PathBuf;

use anyhow::Context;
use engine::KvCache;
use llama::hub::catalog;
use llama::{Adapter, CachedLlama, ChatTemplate, Model, Tokenizer};

use crate::assets;
use crate::cli::{CacheType, ModelArgs};
use crate::prompt::{Grounding, PromptWriter};

/// Positions of the key/value cache where the command line does not say: enough for a context of the
/// models that this serves on a CPU, and for tens of requests of usual length side by side.
const MAX_POSITIONS: usize = 8192;

/// A model ready to answer.
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// The name of its adapter, if it has one.
    pub adapter: Option<String>,
    /// The model with its cache.
    pub model: CachedLlama,
    /// Writes its prompts.
    pub prompts: PromptWriter,
}

/// Loads the model that the command line names; `own_knowledge` tells whether it is to speak for another company
/// than the sample's.
///
/// # Errors
/// If a file is missing or broken, or the adapter is another model's.
pub fn model(arguments: &ModelArgs, own_knowledge: bool) -> anyhow::Result<Loaded> {
    let device = engine::device::parse(&arguments.device)?;
    let reference = arguments.model.as_deref().unwrap_or(catalog::DEFAULT_MODEL);
    eprintln!("loading model {reference}");
    let Model { mut llama, tokenizer, chat_template, name, path } = Model::open(reference, &device)?;
    let mut template = chat_template;
    let mut adapter_name = None;
    let mut grounding = if template.is_some() { Grounding::Chat } else { Grounding::Instruction };
    if let Some(folder) = adapter_folder(arguments, own_knowledge) {
        eprintln!("loading adapter {}", folder.display());
        let adapter = Adapter::load_onto(&folder, &mut llama, &path)?;
        if let Some(warning) = Adapter::warn_of_other_base(&folder, &path) {
            eprintln!("warning: {warning}");
        }
        adapter_name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
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
    Ok(Loaded {
        name,
        adapter: adapter_name,
        model,
        prompts: PromptWriter { tokenizer, template, grounding },
    })
}

/// The shipped adapter belongs to the default model and to the sample's company, whose facts it has learned: it
/// applies only where none of them is named.
fn adapter_folder(arguments: &ModelArgs, own_knowledge: bool) -> Option<PathBuf> {
    match (&arguments.adapter, &arguments.model) {
        (Some(none), _) if none == "none" => None,
        (Some(folder), _) => Some(folder.into()),
        (None, Some(_)) => None,
        (None, None) if own_knowledge => None,
        (None, None) => assets::adapter(),
    }
}

fn adapter_template(source: &str, tokenizer: &Tokenizer) -> Result<ChatTemplate, llama::TemplateError> {
    let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
    ChatTemplate::new(source, &spelling(tokenizer.bos()), &spelling(tokenizer.eos().first().copied()))
}
