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
    /// Rows of the table of positions.
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
    /// `bert` or one of its descendants; those of RoBERTa count positions from after the padding's.
    #[serde(default = "bert")]
    pub model_type: String,
    /// The token that fills up texts; here it decides RoBERTa's first position alone.
    #[serde(default)]
    pub pad_token_id: Option<usize>,
}

/// Models of one architecture, which differ in the first position.
const BERTS: [&str; 1] = ["bert"];
const ROBERTAS: [&str; 3] = ["roberta", "xlm-roberta", "camembert"];

fn bert() -> String {
    "bert".into()
}

fn absolute() -> String {
    "absolute".into()
}

impl BertConfig {
    /// The position of a text's first token. RoBERTa's fairseq numbered positions like tokens, with those up to the
    /// padding's reserved.
    pub fn first_position(&self) -> usize {
        match ROBERTAS.contains(&self.model_type.as_str()) {
            true => self.pad_token_id.unwrap_or(1).saturating_add(1),
            false => 0,
        }
    }

    /// The longest text in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

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
        let known = [&BERTS[..], &ROBERTAS].concat();
        if !known.contains(&self.model_type.as_str()) {
            return bad("model_type", format!("`{}` is none of {}", self.model_type, known.join(", ")));
        }
        if self.max_tokens() == 0 {
            let first = self.first_position();
            return bad("max_position_embeddings", format!("there is none after the first, {first}"));
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
