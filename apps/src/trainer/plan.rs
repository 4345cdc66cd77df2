//! The most memory that a run takes, by a formula of named terms.
//!
//! The constants were fitted to `peak_rss_mib` of `training.json` (VmHWM) of short runs; see the table
//! in the tests. Whoever changes what training keeps fits them again.

use engine::{Example, LlamaConfig, Size};

/// What a micro-batch of a plan needs to say of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    pub rows: usize,
    pub tokens: usize,
    /// Sum of the squares of the rows' lengths.
    pub squares: usize,
    /// Tokens that are learned.
    pub learned: usize,
}

/// Bytes, term by term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The program, its threads, the tokenizer, the allocator's reserve.
    pub process: usize,
    /// The model and its adapter.
    pub weights: usize,
    /// Gradients and moments of the adapter.
    pub optimizer: usize,
    /// What every layer keeps for its backward pass, and what one layer needs at work.
    pub activations: usize,
    /// Scores of attention, likewise.
    pub attention: usize,
    /// The chunk of logits at work.
    pub logits: usize,
    /// The model in 32 bits, where it is quantized after loading, before there is anything else.
    pub loading: usize,
}

const MIB: usize = 1 << 20;
const F32: usize = size_of::<f32>();

/// See [`Memory::process`].
const PROCESS: usize = 136 * MIB;
/// Copies of the adapter beside its weights: gradient, its sum, two moments, old and new.
const OPTIMIZER_COPIES: usize = 6;
/// Rows of `hidden_size` that a layer keeps per token.
const KEPT_HIDDEN: f64 = 6.5;
/// Rows of `intermediate_size` that a layer keeps per token.
const KEPT_INTERMEDIATE: f64 = 1.6;
/// Matrices `[len, len]` that a layer keeps per row and head.
const KEPT_SCORES: f64 = 3.0;
/// What one layer at work needs beside, as multiples of what a layer keeps.
const AT_WORK: f64 = 2.0;
/// Rows of logits that exist at once (`CHUNK` of the engine's loss).
const LOGIT_ROWS: usize = 256;
/// Copies of them.
const LOGIT_COPIES: f64 = 3.0;

impl Shape {
    /// Of these examples.
    pub fn of(examples: &[Example]) -> Self {
        let mut shape = Self { rows: examples.len(), ..Self::default() };
        for example in examples {
            shape.tokens += example.tokens.len();
            shape.squares += example.tokens.len().pow(2);
            shape.learned += example.learned_tokens();
        }
        shape
    }
}

impl Memory {
    /// Of a run whose largest micro-batch is `batch`. `requantized`: the base is quantized after loading.
    pub fn new(config: &LlamaConfig, size: &Size, batch: Shape, requantized: bool) -> Self {
        let layers = config.num_hidden_layers as f64 + AT_WORK;
        let row =
            KEPT_HIDDEN * config.hidden_size as f64 + KEPT_INTERMEDIATE * config.intermediate_size as f64;
        let scores = KEPT_SCORES * config.num_attention_heads as f64;
        let logits = LOGIT_COPIES * (batch.learned.min(LOGIT_ROWS) * config.vocab_size) as f64;
        Self {
            process: PROCESS,
            weights: size.bytes,
            optimizer: OPTIMIZER_COPIES * size.trainable * F32,
            activations: (layers * row * batch.tokens as f64) as usize * F32,
            attention: (layers * scores * batch.squares as f64) as usize * F32,
            logits: logits as usize * F32,
            loading: if requantized { size.parameters * F32 } else { 0 },
        }
    }

    /// Bytes at the peak, which is in training or in loading.
    pub fn peak(&self) -> usize {
        let Self { process, weights, optimizer, activations, attention, logits, loading } = *self;
        process + (weights + optimizer + activations + attention + logits).max(loading)
    }
}

#[cfg(test)]
mod tests {
    use engine::RopeScaling;

    use super::*;

    /// SmolLM2-135M, r 8 on q_proj and v_proj: the largest micro-batch, the weights' MiB, and the MiB that
    /// a run reached (a development build, two cores).
    const MEASURED: [(Shape, usize, bool, f64); 5] = [
        (Shape { rows: 2, tokens: 167, squares: 13_957, learned: 124 }, 94, false, 457.0),
        (Shape { rows: 2, tokens: 294, squares: 50_366, learned: 130 }, 94, false, 697.6),
        (Shape { rows: 4, tokens: 447, squares: 55_524, learned: 400 }, 162, true, 971.0),
        (Shape { rows: 8, tokens: 890, squares: 106_500, learned: 600 }, 94, false, 1404.0),
        (Shape { rows: 4, tokens: 2032, squares: 1_032_500, learned: 800 }, 94, false, 5279.9),
    ];

    #[test]
    fn the_formula_is_within_15_percent_of_what_was_measured() {
        let config = LlamaConfig {
            vocab_size: 49152,
            hidden_size: 576,
            intermediate_size: 1536,
            num_hidden_layers: 30,
            num_attention_heads: 9,
            num_key_value_heads: 3,
            head_dim: 64,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-5,
            rope_theta: 100_000.0,
            rope_scaling: RopeScaling::None,
            sliding_window: None,
            tie_word_embeddings: true,
        };
        for (shape, weights, requantized, measured) in MEASURED {
            let size = Size { parameters: 134_515_008, trainable: 460_800, bytes: weights * MIB };
            let estimated = Memory::new(&config, &size, shape, requantized).peak() as f64 / MIB as f64;
            assert!(
                (estimated / measured - 1.0).abs() < 0.15,
                "{shape:?}: {estimated} instead of {measured}"
            );
        }
    }

    #[test]
    fn a_shape_counts_what_is_learned() {
        let example =
            |len: usize| Example { tokens: vec![0; len], learned: (0..len).map(|i| i > 2).collect() };
        let shape = Shape::of(&[example(5), example(10)]);
        assert_eq!(shape, Shape { rows: 2, tokens: 15, squares: 125, learned: 9 });
    }
}
