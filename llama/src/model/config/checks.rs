//! Checks of what untrusted configurations say, the same for both kinds of file.

use std::path::Path;

use engine::LlamaConfig;

use crate::error::LlamaError;

/// Upper bound of every size in a configuration, larger than that of any model. Files are untrusted: with sizes up to
/// this, no product of two sizes overflows.
const LARGEST_SIZE: usize = 1 << 28;

/// Checks what a file says before anything is computed with it.
pub(super) fn checked(config: LlamaConfig, path: &Path) -> Result<LlamaConfig, LlamaError> {
    let sizes = [
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("num_hidden_layers", config.num_hidden_layers),
        ("num_attention_heads", config.num_attention_heads),
        ("num_key_value_heads", config.num_key_value_heads),
        ("head_dim", config.head_dim),
        ("max_position_embeddings", config.max_position_embeddings),
        ("sliding_window", config.sliding_window.unwrap_or(0)),
    ];
    for (field, size) in sizes {
        if size > LARGEST_SIZE {
            return Err(LlamaError::config(path, field, format!("is {size}, larger than any model's")));
        }
    }
    config.validate().map_err(|error| LlamaError::file(path, error.to_string()))?;
    Ok(config)
}

/// Checks that a factor by which positions are stretched is positive and finite.
pub(super) fn checked_factor(factor: f64, path: &Path, field: &str) -> Result<f32, LlamaError> {
    let factor = factor as f32;
    if factor.is_finite() && factor > 0.0 {
        return Ok(factor);
    }
    Err(LlamaError::config(path, field, format!("is {factor}, not a positive number")))
}
