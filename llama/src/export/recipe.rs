//! Which format each tensor of a GGUF gets: llama.cpp's choice, so that a file made here is the one that
//! `llama-quantize` makes without an importance matrix.
//!
//! The output head (or the embedding table that serves as one) gets Q6_K, of the value and down
//! projections every third and the outermost ones get Q6_K in the `_M` recipes, norms stay f32. What has
//! rows of no whole blocks gets the nearest format with shorter blocks.
//!
//! Source: `llama_tensor_get_type_impl` and `tensor_type_fallback` in llama.cpp's `llama-quant.cpp`.

use std::str::FromStr;

use engine::LlamaConfig;
use engine::quant::Format;

use crate::files::float::Float;
use crate::files::gguf::Storage;

/// A mixture of formats under the name that llama.cpp gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, non_camel_case_types)] // the recipes' own names
pub enum Recipe {
    F16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q4_K_M,
    Q5_K_M,
    Q6_K,
}

impl Recipe {
    /// All recipes.
    pub const ALL: [Recipe; 7] =
        [Recipe::F16, Recipe::Q8_0, Recipe::Q4_0, Recipe::Q4_1, Recipe::Q4_K_M, Recipe::Q5_K_M, Recipe::Q6_K];

    /// llama.cpp's name, such as `Q4_K_M`.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::F16 => "F16",
            Recipe::Q8_0 => "Q8_0",
            Recipe::Q4_0 => "Q4_0",
            Recipe::Q4_1 => "Q4_1",
            Recipe::Q4_K_M => "Q4_K_M",
            Recipe::Q5_K_M => "Q5_K_M",
            Recipe::Q6_K => "Q6_K",
        }
    }

    /// llama.cpp's number (`llama_ftype`), a file's `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Recipe::F16 => 1,
            Recipe::Q4_0 => 2,
            Recipe::Q4_1 => 3,
            Recipe::Q8_0 => 7,
            Recipe::Q4_K_M => 15,
            Recipe::Q5_K_M => 17,
            Recipe::Q6_K => 18,
        }
    }

    /// The format of a tensor that none of the rules below concerns.
    fn usual(self) -> Option<Format> {
        Some(match self {
            Recipe::F16 => return None,
            Recipe::Q8_0 => Format::Q8_0,
            Recipe::Q4_0 => Format::Q4_0,
            Recipe::Q4_1 => Format::Q4_1,
            Recipe::Q4_K_M => Format::Q4_K,
            Recipe::Q5_K_M => Format::Q5_K,
            Recipe::Q6_K => Format::Q6_K,
        })
    }

    /// How the tensor `name` of that shape (Hugging Face's) is stored.
    pub(super) fn storage(self, name: &str, shape: &[usize], config: &LlamaConfig) -> Storage {
        let &[_, cols] = shape else { return Storage::Float(Float::F32) };
        let Some(usual) = self.usual() else { return Storage::Float(Float::F16) };
        with_whole_blocks(self.wanted(usual, name, cols, config), cols)
    }

    fn wanted(self, usual: Format, name: &str, cols: usize, config: &LlamaConfig) -> Format {
        let layers = config.num_hidden_layers;
        let more_bits = || {
            let mixed = matches!(self, Recipe::Q4_K_M | Recipe::Q5_K_M);
            mixed && layer_of(name).is_some_and(|layer| deserves_more_bits(layer, layers))
        };
        let is_head = match config.tie_word_embeddings {
            true => name == "model.embed_tokens.weight",
            false => name == "lm_head.weight",
        };
        if is_head {
            match usual {
                Format::Q8_0 => Format::Q8_0,
                usual if !cols.is_multiple_of(usual.block_len()) => Format::Q8_0,
                _ => Format::Q6_K,
            }
        } else if name.ends_with(".v_proj.weight") {
            // In Llama 2 and 3 70B eight heads share a value, so more bits cost little.
            let is_70b = layers == 80 && config.num_key_value_heads != config.num_attention_heads;
            match usual {
                _ if more_bits() => Format::Q6_K,
                Format::Q4_K if is_70b => Format::Q5_K,
                usual => usual,
            }
        } else if name.ends_with(".down_proj.weight") && more_bits() {
            Format::Q6_K
        } else {
            usual
        }
    }
}

impl FromStr for Recipe {
    type Err = String;

    /// Reads a recipe's name, in capitals or not.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|recipe| recipe.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// llama.cpp's `use_more_bits`: the first and the last eighth of the layers, and every third between.
fn deserves_more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?.split_once('.')?.0.parse().ok()
}

/// `format`, or what stands in for it where rows of `cols` numbers are no whole blocks.
fn with_whole_blocks(format: Format, cols: usize) -> Storage {
    let fits = |format: Format| cols.is_multiple_of(format.block_len());
    let shorter = match format {
        _ if fits(format) => format,
        Format::Q4_K => Format::Q5_0,
        Format::Q5_K => Format::Q5_1,
        Format::Q6_K => Format::Q8_0,
        other => other,
    };
    if fits(shorter) { Storage::Blocks(shorter) } else { Storage::Float(Float::F16) }
}

#[cfg(test)]
mod tests {
    use engine::{AttentionBias, RopeScaling};

    use super::*;

    fn config(layers: usize, hidden: usize, tied: bool) -> LlamaConfig {
        LlamaConfig {
            vocab_size: 100,
            hidden_size: hidden,
            intermediate_size: 1536,
            num_hidden_layers: layers,
            num_attention_heads: 9,
            num_key_value_heads: 3,
            head_dim: 64,
            max_position_embeddings: 100,
            rms_norm_eps: 1e-5,
            rope_theta: 1e4,
            rope_scaling: RopeScaling::None,
            sliding_window: None,
            attention_bias: AttentionBias::None,
            mlp_bias: false,
            tie_word_embeddings: tied,
        }
    }

    fn name(storage: Storage) -> String {
        match storage {
            Storage::Float(float) => format!("{float:?}"),
            Storage::Blocks(format) => format!("{format:?}"),
        }
    }

    const EMBED: &str = "model.embed_tokens.weight";
    const HEAD: &str = "lm_head.weight";

    /// Formats of embed_tokens, lm_head, layer 0 and 5's q_proj, v_proj and down_proj.
    fn formats(recipe: Recipe, config: &LlamaConfig) -> String {
        let hidden = config.hidden_size;
        let of = |tensor: &str, cols| name(recipe.storage(tensor, &[64, cols], config));
        let mut row = vec![of(EMBED, hidden)];
        row.push(if config.tie_word_embeddings { "-".into() } else { of(HEAD, hidden) });
        for layer in [0, 5] {
            for (module, cols) in
                [("self_attn.q_proj", hidden), ("self_attn.v_proj", hidden), ("mlp.down_proj", 1536)]
            {
                row.push(of(&format!("model.layers.{layer}.{module}.weight"), cols));
            }
        }
        row.join(" ")
    }

    /// What llama-quantize chooses, for the shapes of TinyLlama (untied, rows of whole blocks) and of
    /// SmolLM2-135M (tied, rows of 576).
    #[test]
    fn formats_are_those_of_llama_quantize() {
        let (tiny, smol) = (config(22, 2048, false), config(30, 576, true));
        for (recipe, expected_tiny, expected_smol) in [
            (Recipe::F16, "F16 F16 F16 F16 F16 F16 F16 F16", "F16 - F16 F16 F16 F16 F16 F16"),
            (Recipe::Q8_0, "Q8_0 Q8_0 Q8_0 Q8_0 Q8_0 Q8_0 Q8_0 Q8_0", "Q8_0 - Q8_0 Q8_0 Q8_0 Q8_0 Q8_0 Q8_0"),
            (Recipe::Q4_0, "Q4_0 Q6_K Q4_0 Q4_0 Q4_0 Q4_0 Q4_0 Q4_0", "Q8_0 - Q4_0 Q4_0 Q4_0 Q4_0 Q4_0 Q4_0"),
            (Recipe::Q4_1, "Q4_1 Q6_K Q4_1 Q4_1 Q4_1 Q4_1 Q4_1 Q4_1", "Q8_0 - Q4_1 Q4_1 Q4_1 Q4_1 Q4_1 Q4_1"),
            // Layer 5 of 22 is none of the chosen (22 / 8 + 2 + 3 n); of 30 it is (30 / 8 + 2).
            (
                Recipe::Q4_K_M,
                "Q4_K Q6_K Q4_K Q6_K Q6_K Q4_K Q4_K Q4_K",
                "Q8_0 - Q5_0 Q8_0 Q6_K Q5_0 Q8_0 Q6_K",
            ),
            (
                Recipe::Q5_K_M,
                "Q5_K Q6_K Q5_K Q6_K Q6_K Q5_K Q5_K Q5_K",
                "Q8_0 - Q5_1 Q8_0 Q6_K Q5_1 Q8_0 Q6_K",
            ),
            (Recipe::Q6_K, "Q6_K Q6_K Q6_K Q6_K Q6_K Q6_K Q6_K Q6_K", "Q8_0 - Q8_0 Q8_0 Q6_K Q8_0 Q8_0 Q6_K"),
        ] {
            assert_eq!(formats(recipe, &tiny), expected_tiny, "{recipe:?}");
            assert_eq!(formats(recipe, &smol), expected_smol, "{recipe:?}");
        }
    }

    #[test]
    fn a_70b_model_has_better_values() {
        let v = "model.layers.20.self_attn.v_proj.weight";
        let big = config(80, 8192, false);
        let of = |recipe: Recipe, config: &LlamaConfig| name(recipe.storage(v, &[1024, 8192], config));
        assert_eq!(of(Recipe::Q4_K_M, &big), "Q5_K");
        assert_eq!(of(Recipe::Q5_K_M, &big), "Q5_K");
        assert_eq!(of(Recipe::Q4_K_M, &LlamaConfig { num_key_value_heads: 9, ..big }), "Q4_K");
    }

    #[test]
    fn vectors_are_floats_and_odd_rows_halves() {
        let config = config(1, 64, true);
        for recipe in Recipe::ALL {
            assert_eq!(name(recipe.storage("model.norm.weight", &[64], &config)), "F32");
            let odd = name(recipe.storage("model.layers.0.mlp.down_proj.weight", &[64, 172], &config));
            assert_eq!(odd, "F16", "{recipe:?}");
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        for recipe in Recipe::ALL {
            assert_eq!(recipe.name().to_lowercase().parse(), Ok(recipe));
        }
        let error = "Q3_K".parse::<Recipe>().unwrap_err();
        assert_eq!(error, "is none of F16, Q8_0, Q4_0, Q4_1, Q4_K_M, Q5_K_M, Q6_K");
    }
}
