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
    /// Which projections of the attention add a bias.
    pub attention_bias: AttentionBias,
    /// Whether the projections of the MLP add a bias.
    pub mlp_bias: bool,
    /// Whether the output head is the embedding table.
    pub tie_word_embeddings: bool,
}

/// Which projections of the attention add a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttentionBias {
    /// None, as in most Llamas and in Mistral.
    #[default]
    None,
    /// Queries, keys and values, as in Qwen2.
    Qkv,
    /// The output too: a Llama's `attention_bias`.
    All,
}

/// `rope_scaling` of `config.json`. Source of every form: transformers' `modeling_rope_utils.py`.
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
    /// Frequencies as trained up to `max_position_embeddings`, beyond which no position is accepted: there they
    /// would depend on the length of the text, and the keys that are cached would be another length's.
    Dynamic {
        /// By how much texts may be longer.
        factor: f32,
    },
    /// Low frequencies divided by `factor`, high ones kept, a linear ramp between, and a magnitude of sine and
    /// cosine (Peng et al. 2023, arXiv:2309.00071).
    Yarn {
        /// The divisor of the low frequencies.
        factor: f32,
        /// The context length before scaling.
        original_max_position_embeddings: usize,
        /// What sine and cosine are multiplied by.
        attention_factor: f32,
        /// Turns within the original context from which on a frequency is kept.
        beta_fast: f32,
        /// Turns within the original context up to which a frequency is divided by `factor`.
        beta_slow: f32,
        /// Whether the ends of the ramp are whole pairs.
        truncate: bool,
    },
    /// A divisor for every frequency, and a magnitude of sine and cosine (Ding et al. 2024, arXiv:2402.13753,
    /// where one table holds for texts of any length; also GGUF's `rope_freqs.weight`).
    LongRope {
        /// The divisors, one for each pair of a head.
        factors: Vec<f32>,
        /// What sine and cosine are multiplied by.
        attention_factor: f32,
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
    /// Whether a projection, as `q_proj`, adds a bias.
    pub fn has_bias(&self, projection: &str) -> bool {
        match projection {
            "q_proj" | "k_proj" | "v_proj" => self.attention_bias != AttentionBias::None,
            "o_proj" => self.attention_bias == AttentionBias::All,
            "gate_proj" | "up_proj" | "down_proj" => self.mlp_bias,
            _ => false,
        }
    }

    /// Checks that the numbers can describe a model.
    ///
    /// # Errors
    /// A sentence naming the field that is wrong.
    pub fn validate(&self) -> Result<(), crate::error::EngineError> {
        let bad =
            |field: &'static str, reason: String| Err(crate::error::EngineError::Config { field, reason });
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
        let problem = self.rope_scaling.problem(self.head_dim / 2);
        problem.map_or(Ok(()), |problem| bad("rope_scaling", problem))
    }
}

impl RopeScaling {
    /// Why the numbers cannot stretch the frequencies of `pairs` pairs.
    fn problem(&self, pairs: usize) -> Option<String> {
        let (factors, original): (&[f32], usize) = match self {
            Self::None => (&[], 1),
            Self::Linear { factor } | Self::Dynamic { factor } => (&[*factor], 1),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                (&[*factor, *low_freq_factor, *high_freq_factor], *original_max_position_embeddings)
            }
            Self::Yarn {
                factor,
                original_max_position_embeddings,
                attention_factor,
                beta_fast,
                beta_slow,
                truncate: _,
            } => (&[*factor, *attention_factor, *beta_fast, *beta_slow], *original_max_position_embeddings),
            Self::LongRope { factors, .. } if factors.len() != pairs => {
                return Some(format!("has {} factors for {pairs} pairs of a head", factors.len()));
            }
            Self::LongRope { factors, attention_factor: _ } => (factors, 1),
        };
        if let Some(factor) = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
            return Some(format!("has the factor {factor}, which is not a positive number"));
        }
        (original == 0).then(|| "has original_max_position_embeddings 0".into())
    }
}
