//! The shape of a Llama model, under Hugging Face's names.

/// Configuration of a Llama or Mistral model: the fields of Hugging Face's `config.json` that the
/// forward pass needs.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Number of rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key/value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head; usually `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// Longest sequence the model was trained for, in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// How the rotary frequencies are stretched beyond the trained context.
    pub rope_scaling: RopeScaling,
    /// Mistral's sliding window: a token sees at most this many positions, itself included.
    pub sliding_window: Option<usize>,
    /// Whether the output head is the embedding table.
    pub tie_word_embeddings: bool,
}

/// `rope_scaling` of `config.json`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RopeScaling {
    /// Frequencies as trained.
    #[default]
    None,
    /// Every position divided by `factor` (Chen et al. 2023, arXiv:2306.15595).
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1's scaling: low frequencies divided by `factor`, high ones kept, a smooth ramp between.
    Llama3 {
        /// The divisor of the low frequencies.
        factor: f32,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f32,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f32,
        /// The context length before scaling.
        original_max_position_embeddings: usize,
    },
}

impl LlamaConfig {
    /// Checks that the numbers can describe a model.
    ///
    /// # Errors
    /// A sentence naming the field that is wrong.
    pub fn validate(&self) -> Result<(), crate::EngineError> {
        let bad = |field: &'static str, reason: String| Err(crate::EngineError::Config { field, reason });
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, value) in positive {
            if value == 0 {
                return bad(field, "is 0".into());
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return bad(
                "num_key_value_heads",
                format!("{} does not divide {} heads", self.num_key_value_heads, self.num_attention_heads),
            );
        }
        if !self.head_dim.is_multiple_of(2) {
            return bad("head_dim", format!("{} is odd; rotary embeddings need pairs", self.head_dim));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps > 0.0) {
            return bad("rms_norm_eps", format!("{} is not a positive number", self.rms_norm_eps));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return bad("rope_theta", format!("{} is not a positive number", self.rope_theta));
        }
        Ok(())
    }
}
