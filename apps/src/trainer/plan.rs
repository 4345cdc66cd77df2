//! The most memory that a run takes, by a formula of named terms.
//!
//! The constants were fitted to `peak_rss_mib` of `training.json` (VmHWM) of short runs; see the table
//! in the tests. Whoever changes what training keeps fits them again.

use engine::{Example, Footprint, LlamaConfig};

/// Size of a micro-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    pub rows: usize,
    pub tokens: usize,
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
    /// What every layer keeps for its backward pass.
    pub activations: usize,
    /// The chunk of logits at work.
    pub logits: usize,
    /// The largest projection in 32 bits, where the base is quantized as it is read.
    pub loading: usize,
}

const MIB: usize = 1 << 20;
const F32: usize = size_of::<f32>();

/// See [`Memory::process`].
const PROCESS: usize = 22 * MIB;
/// Copies of the adapter beside its weights: gradient, its sum, two moments, old and new.
const OPTIMIZER_COPIES: usize = 6;
/// Rows of logits that exist at once (`CHUNK` of the engine's loss).
const LOGIT_ROWS: usize = 128;
/// Copies of those rows: the gradient is computed in place and then rounded to a copy.
const LOGIT_COPIES: f64 = 2.0;

impl Shape {
    /// The size of a micro-batch of these examples.
    pub fn of(examples: &[Example]) -> Self {
        let mut shape = Self { rows: examples.len(), ..Self::default() };
        for example in examples {
            shape.tokens += example.tokens.len();
            shape.learned += example.learned_tokens();
        }
        shape
    }
}

impl Memory {
    /// The memory of a run whose largest micro-batch is `batch`, with adapters whose inputs have `adapter_inputs`
    /// numbers in all. `requantized`: the base is quantized as it is read.
    pub fn new(
        config: &LlamaConfig,
        size: &Footprint,
        adapter_inputs: usize,
        batch: Shape,
        requantized: bool,
    ) -> Self {
        // A layer's two residual streams, queries and attention's result, keys and values, gate and up.
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let layer = 2 * (config.hidden_size + queries + keys + config.intermediate_size);
        // An adapter keeps its input after dropout.
        let kept = config.num_hidden_layers * layer + adapter_inputs;
        let logits = LOGIT_COPIES * (batch.learned.min(LOGIT_ROWS) * config.vocab_size) as f64;
        Self {
            process: PROCESS,
            weights: size.bytes,
            optimizer: OPTIMIZER_COPIES * size.trainable * F32,
            activations: kept * batch.tokens * F32,
            logits: logits as usize * F32,
            loading: if requantized { config.hidden_size * config.intermediate_size * F32 } else { 0 },
        }
    }

    /// The same run with gradient checkpointing: layers keep their inputs only, except for the current one, which also
    /// has gradients.
    #[must_use]
    pub fn checkpointed(self, config: &LlamaConfig, batch: Shape) -> Self {
        let inputs = config.num_hidden_layers * config.hidden_size * batch.tokens * F32;
        Self { activations: inputs + 3 * self.activations / (2 * config.num_hidden_layers), ..self }
    }

    /// Bytes at the peak, which is in training or in loading.
    pub fn peak(&self) -> usize {
        let Self { process, weights, optimizer, activations, logits, loading } = *self;
        process + weights + loading.max(optimizer + activations + logits)
    }
}

#[cfg(test)]
mod tests {
    use engine::{AttentionBias, RopeScaling};

    use super::*;

    /// SmolLM2-135M, r 8 on q_proj and v_proj: the largest micro-batch, the weights' MiB, and the MiB that
    /// a run reached in `--dry-run` (two cores).
    const MEASURED: [(Shape, usize, bool, f64); 4] = [
        (Shape { rows: 1, tokens: 149, learned: 43 }, 94, false, 258.0),
        (Shape { rows: 8, tokens: 970, learned: 400 }, 94, false, 943.0),
        (Shape { rows: 4, tokens: 2041, learned: 1000 }, 94, false, 1794.0),
        (Shape { rows: 4, tokens: 583, learned: 200 }, 162, true, 717.0),
    ];

    /// The same with `--gradient-checkpointing`.
    const CHECKPOINTED: [(Shape, f64); 2] = [
        (Shape { rows: 8, tokens: 1174, learned: 400 }, 270.0),
        (Shape { rows: 8, tokens: 4019, learned: 2000 }, 639.0),
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
            attention_bias: AttentionBias::None,
            mlp_bias: false,
            tie_word_embeddings: true,
        };
        let estimate = |shape, weights: usize, requantized| {
            let size = Footprint { parameters: 134_515_008, trainable: 460_800, bytes: weights * MIB };
            Memory::new(&config, &size, 30 * 2 * 576, shape, requantized)
        };
        let whole = MEASURED.map(|(shape, weights, requantized, measured)| {
            (shape, estimate(shape, weights, requantized), measured)
        });
        let checkpointed = CHECKPOINTED.map(|(shape, measured)| {
            (shape, estimate(shape, 94, false).checkpointed(&config, shape), measured)
        });
        for (shape, memory, measured) in whole.into_iter().chain(checkpointed) {
            let estimated = memory.peak() as f64 / MIB as f64;
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
        assert_eq!(shape, Shape { rows: 2, tokens: 15, learned: 9 });
    }
}
