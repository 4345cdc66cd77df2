//! The metadata of a GGUF that is written.

use std::collections::BTreeMap;

use engine::LlamaConfig;

use super::{Export, Recipe};
use crate::error::LlamaError;
use crate::files::gguf::Value;
use crate::model::config::{Architecture, rope_keys};
use crate::text::chat_template::ChatTemplate;

/// The version of ggml's block formats.
const QUANTIZATION_VERSION: u32 = 2;

const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

impl Export {
    /// The metadata of the GGUF that is exported, or metadata made from config.json and the tokenizer's files.
    pub(super) fn metadata(&self, recipe: Recipe) -> Result<BTreeMap<String, Value>, LlamaError> {
        let mut metadata = match self.source.checkpoint.gguf() {
            Some(gguf) => gguf
                .all_metadata()
                .filter(|(key, _)| !key.starts_with("split."))
                .map(|(key, value)| (key.to_string(), value.clone()))
                .collect(),
            None => self.metadata_of_folder()?,
        };
        let template = self.source.adapter.as_ref().and_then(|adapter| adapter.chat_template.clone());
        if let Some(template) = template {
            metadata.insert(CHAT_TEMPLATE.into(), Value::String(template));
        }
        metadata.insert("general.file_type".into(), Value::U32(recipe.file_type()));
        metadata.insert("general.quantization_version".into(), Value::U32(QUANTIZATION_VERSION));
        Ok(metadata)
    }

    fn metadata_of_folder(&self) -> Result<BTreeMap<String, Value>, LlamaError> {
        let refused = |reason: String| LlamaError::file(&self.folder, reason);
        let config = self.source.checkpoint.config();
        let tokenizer = self.tokenizer()?;
        let mut metadata = tokenizer
            .to_gguf(config.vocab_size)
            .map_err(|reason| refused(format!("the tokenizer: {reason}")))?;
        let template =
            ChatTemplate::from_dir(&self.folder, "", "").map_err(|error| refused(error.to_string()))?;
        if let Some(template) = template {
            metadata.insert(CHAT_TEMPLATE.into(), Value::String(template.source().into()));
        }
        metadata.extend(of_config(self.source.checkpoint.architecture(), config).map_err(refused)?);
        metadata.insert("general.type".into(), Value::String("model".into()));
        let name = self.folder.canonicalize().ok().and_then(|folder| Some(folder.file_name()?.to_owned()));
        if let Some(name) = name {
            metadata.insert("general.name".into(), Value::String(name.to_string_lossy().into_owned()));
        }
        Ok(metadata)
    }
}

/// The keys of a model, `llama.*` or of another architecture.
fn of_config(architecture: Architecture, config: &LlamaConfig) -> Result<BTreeMap<String, Value>, String> {
    // Every size was checked to be far below 2^32 when it was read.
    let size = |size: usize| Value::U32(size as u32);
    let mut keys = vec![
        ("vocab_size", size(config.vocab_size)),
        ("block_count", size(config.num_hidden_layers)),
        ("context_length", size(config.max_position_embeddings)),
        ("embedding_length", size(config.hidden_size)),
        ("feed_forward_length", size(config.intermediate_size)),
        ("attention.head_count", size(config.num_attention_heads)),
        ("attention.head_count_kv", size(config.num_key_value_heads)),
        ("attention.key_length", size(config.head_dim)),
        ("attention.value_length", size(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps)),
        ("rope.dimension_count", size(config.head_dim)),
        ("rope.freq_base", Value::F32(config.rope_theta)),
    ];
    if let Some(window) = config.sliding_window {
        keys.push(("attention.sliding_window", size(window)));
    }
    keys.extend(rope_keys(config)?);
    let prefix = architecture.gguf_name();
    let architecture = ("general.architecture".to_string(), Value::String(prefix.into()));
    Ok(keys
        .into_iter()
        .map(|(key, value)| (format!("{prefix}.{key}"), value))
        .chain([architecture])
        .collect())
}
