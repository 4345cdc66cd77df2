//! LoRA.

/// What a LoRA adapter looks like, under PEFT's names (`adapter_config.json`).
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: usize,
    /// Numerator of the scale `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Probability that an input of A is dropped in training.
    pub lora_dropout: f32,
    /// Names of the projections that carry an adapter, as `q_proj`.
    pub target_modules: Vec<String>,
}
