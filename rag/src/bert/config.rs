//! The shape of a BERT encoder, under Hugging Face's names.

use engine::EngineError;
use serde::Deserialize;

/// The fields of Hugging Face's `config.json` that the forward pass needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Number of rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the embedding.
    pub hidden_size: usize,
    /// Width of the feed-forward network.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Longest text in tokens.
    pub max_position_embeddings: usize,
    /// Kinds of text in a pair.
    pub type_vocab_size: usize,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
    /// The feed-forward network's activation; only `gelu`, the exact one, is known.
    pub hidden_act: String,
    /// How positions enter; only `absolute` is known.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".into()
}

impl BertConfig {
    /// Checks that the numbers can describe a model that this crate runs.
    ///
    /// # Errors
    /// A sentence naming the field that is wrong.
    pub fn validate(&self) -> Result<(), EngineError> {
        let bad = |field, reason: String| Err(EngineError::Config { field, reason });
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (field, value) in positive {
            if value == 0 {
                return bad(field, "is 0".into());
            }
        }
        let BertConfig { hidden_size, num_attention_heads, .. } = *self;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            let reason = format!("{num_attention_heads} does not divide hidden_size {hidden_size}");
            return bad("num_attention_heads", reason);
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            return bad("layer_norm_eps", format!("{} is not a positive number", self.layer_norm_eps));
        }
        if self.hidden_act != "gelu" {
            return bad("hidden_act", format!("`{}` is not `gelu`", self.hidden_act));
        }
        if self.position_embedding_type != "absolute" {
            let reason = format!("`{}` is not `absolute`", self.position_embedding_type);
            return bad("position_embedding_type", reason);
        }
        Ok(())
    }
}
