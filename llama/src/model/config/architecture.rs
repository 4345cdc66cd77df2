//! What differs between the architectures that the engine computes: their names, what an absent field
//! means, where a projection has a bias, and the order of rows in GGUF. Everything after that reads one
//! [`LlamaConfig`] and one list of tensors.

use engine::{AttentionBias, LlamaConfig};

/// An architecture, by the class that computes it in transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the classes' own names
pub enum Architecture {
    Llama,
    Mistral,
    Qwen2,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Llama, Self::Mistral, Self::Qwen2];

    /// The class in transformers: `architectures` of `config.json`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
        }
    }

    /// `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
        }
    }

    /// `general.architecture` of the GGUF files that are written. llama.cpp has no name of its own for
    /// Mistral.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Llama | Self::Mistral => "llama",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The architecture that GGUF files call `name`.
    pub fn of_gguf(name: &str) -> Option<Self> {
        Some(match name {
            "llama" => Self::Llama,
            "mistral3" => Self::Mistral,
            "qwen2" => Self::Qwen2,
            _ => return None,
        })
    }

    /// Whether GGUF stores the rows of queries and keys interleaved, as llama.cpp rotates them in this
    /// architecture (`LLAMA_ROPE_TYPE_NORM`). Hugging Face's order is kept where it is not
    /// (`LLAMA_ROPE_TYPE_NEOX`).
    pub fn is_interleaved_in_gguf(self) -> bool {
        match self {
            Self::Llama | Self::Mistral => true,
            Self::Qwen2 => false,
        }
    }

    /// transformers' default for `max_position_embeddings`.
    pub(super) fn max_position_embeddings(self) -> usize {
        match self {
            Self::Llama => 2048,
            Self::Mistral => 131_072,
            Self::Qwen2 => 32_768,
        }
    }

    /// transformers' default for `num_key_value_heads`; `None` is as many as there are query heads, which
    /// `null` stands for in every architecture.
    pub(super) fn num_key_value_heads(self) -> Option<usize> {
        match self {
            Self::Llama => None,
            Self::Mistral => Some(8),
            Self::Qwen2 => Some(32),
        }
    }

    /// The architecture whose `config.json` can describe `config`, for a model whose file had none.
    ///
    /// # Errors
    /// What no architecture has.
    pub(crate) fn describing(config: &LlamaConfig) -> Result<Self, String> {
        match (config.attention_bias, config.mlp_bias, config.sliding_window) {
            (AttentionBias::Qkv, false, _) => Ok(Self::Qwen2),
            (AttentionBias::None, false, Some(_)) => Ok(Self::Mistral),
            (AttentionBias::None | AttentionBias::All, _, None) => Ok(Self::Llama),
            (bias, mlp, window) => Err(format!(
                "no architecture of transformers has the biases of this model (attention {bias:?}, mlp {mlp}) \
                 and a sliding window of {window:?}"
            )),
        }
    }
}
