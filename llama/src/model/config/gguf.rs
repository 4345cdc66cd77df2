//! The metadata of GGUF files: `llama.*`, `qwen2.*`.

pub(super) mod rope;

use engine::{AttentionBias, LlamaConfig, RopeScaling};

use super::architecture::Architecture;
use super::checks::checked;
use crate::error::LlamaError;
use crate::files::gguf::{Array, Gguf, Value};

/// The configuration that a GGUF file's metadata describes.
///
/// # Errors
/// If a key is missing or has a wrong type, or the model is one that the engine cannot run.
pub fn from_gguf(gguf: &Gguf) -> Result<(Architecture, LlamaConfig), LlamaError> {
    let (architecture, keys) = Keys::new(gguf)?;
    keys.refuse_what_the_engine_lacks()?;
    let num_attention_heads = keys.required("attention.head_count")?;
    let hidden_size = keys.required("embedding_length")?;
    let head_dim = match keys.size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None => hidden_size.checked_div(num_attention_heads).unwrap_or(0),
    };
    for key in ["rope.dimension_count", "attention.value_length"] {
        if let Some(size) = keys.size(key)?.filter(|&size| size != head_dim) {
            return Err(keys.error(key, format!("is {size}, not the head width {head_dim}; not supported")));
        }
    }
    let config = LlamaConfig {
        vocab_size: match keys.size("vocab_size")? {
            Some(vocab_size) => vocab_size,
            None => keys.tokens()?,
        },
        hidden_size,
        intermediate_size: keys.required("feed_forward_length")?,
        num_hidden_layers: keys.required("block_count")?,
        num_attention_heads,
        num_key_value_heads: keys.size("attention.head_count_kv")?.unwrap_or(num_attention_heads),
        head_dim,
        max_position_embeddings: keys.required("context_length")?,
        rms_norm_eps: keys
            .number("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.error("attention.layer_norm_rms_epsilon", "is missing"))?
            as f32,
        rope_theta: keys.number("rope.freq_base")?.unwrap_or(10_000.0) as f32,
        rope_scaling: RopeScaling::None,
        sliding_window: keys.size("attention.sliding_window")?.filter(|&window| window > 0),
        attention_bias: match architecture {
            Architecture::Qwen2 => AttentionBias::Qkv,
            _ if gguf.tensor("blk.0.attn_output.bias").is_some() => AttentionBias::All,
            _ if gguf.tensor("blk.0.attn_q.bias").is_some() => AttentionBias::Qkv,
            _ => AttentionBias::None,
        },
        mlp_bias: gguf.tensor("blk.0.ffn_gate.bias").is_some(),
        tie_word_embeddings: gguf.tensor("output.weight").is_none(),
    };
    let mut config = checked(config, gguf.path())?;
    config.rope_scaling = keys.rope_scaling(&config)?;
    Ok((architecture, checked(config, gguf.path())?))
}

/// The metadata of one architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl<'a> Keys<'a> {
    fn new(gguf: &'a Gguf) -> Result<(Architecture, Self), LlamaError> {
        let name = "general.architecture";
        let refused = |reason: String| LlamaError::config(gguf.path(), name, reason);
        let found =
            gguf.metadata(name).and_then(Value::as_str).ok_or_else(|| refused("is missing".into()))?;
        let architecture = Architecture::of_gguf(found)
            .ok_or_else(|| refused(format!("is {found}; llama, mistral3 and qwen2 are supported")))?;
        Ok((architecture, Self { gguf, architecture: found }))
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.gguf.metadata(&format!("{}.{key}", self.architecture))
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> LlamaError {
        LlamaError::config(self.gguf.path(), &format!("{}.{key}", self.architecture), reason)
    }

    /// A size. It may also be an array with one value a layer if all are equal.
    fn size(&self, key: &str) -> Result<Option<usize>, LlamaError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match value.as_i32s().as_deref() {
            Some([first, rest @ ..]) if rest.iter().all(|size| size == first) => u64::try_from(*first).ok(),
            _ => value.as_u64(),
        };
        number
            .and_then(|number| usize::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.error(key, "is not a size that all layers share"))
    }

    fn required(&self, key: &str) -> Result<usize, LlamaError> {
        self.size(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, LlamaError> {
        self.value(key)
            .map(|value| value.as_f64().ok_or_else(|| self.error(key, "is not a number")))
            .transpose()
    }

    fn tokens(&self) -> Result<usize, LlamaError> {
        match self.gguf.metadata("tokenizer.ggml.tokens").and_then(Value::as_array) {
            Some(Array::String(tokens)) => Ok(tokens.len()),
            _ => Err(self.error("vocab_size", "is missing, and so is the list of tokens")),
        }
    }

    fn refuse_what_the_engine_lacks(&self) -> Result<(), LlamaError> {
        if self.size("expert_count")?.is_some_and(|experts| experts > 0) {
            return Err(self.error("expert_count", "is not 0; mixtures of experts are not supported"));
        }
        // Features of other models with the same graph, each with the value that switches it off.
        for (key, neutral) in [
            ("attention.temperature_scale", 0.0),
            ("attention.scale", 0.0),
            ("attention.clamp_kqv", 0.0),
            ("attention.max_alibi_bias", 0.0),
            ("attn_logit_softcapping", 0.0),
            ("final_logit_softcapping", 0.0),
            ("logit_scale", 1.0),
            ("residual_scale", 1.0),
            ("embedding_scale", 1.0),
        ] {
            if let Some(number) = self.number(key)?.filter(|&number| number != 0.0 && number != neutral) {
                return Err(self.error(key, format!("is {number}; this is not supported")));
            }
        }
        if self.value("attention.causal").and_then(Value::as_bool) == Some(false) {
            return Err(self.error("attention.causal", "is false; this is not supported"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::gguf::TensorType;
    use crate::files::gguf::sample::GgufSample;

    pub(super) fn small() -> GgufSample {
        GgufSample::new()
            .with("general.architecture", Value::String("llama".into()))
            .with("llama.block_count", Value::U32(5))
            .with("llama.context_length", Value::U32(512))
            .with("llama.embedding_length", Value::U32(64))
            .with("llama.feed_forward_length", Value::U32(172))
            .with("llama.attention.head_count", Value::U32(8))
            .with("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))
            .with("tokenizer.ggml.tokens", Value::Array(Array::String(vec!["a".into(); 7])))
    }

    pub(super) fn read(sample: GgufSample) -> Result<LlamaConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, sample.bytes()).unwrap();
        let read = from_gguf(&Gguf::open(&path).unwrap());
        read.map(|(_, config)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn metadata_becomes_a_configuration() {
        let expected = LlamaConfig {
            vocab_size: 7,
            hidden_size: 64,
            intermediate_size: 172,
            num_hidden_layers: 5,
            num_attention_heads: 8,
            num_key_value_heads: 8,
            head_dim: 8,
            max_position_embeddings: 512,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            sliding_window: None,
            attention_bias: AttentionBias::None,
            mlp_bias: false,
            tie_word_embeddings: true,
        };
        assert_eq!(read(small()), Ok(expected.clone()));
        let sample = small()
            .with("llama.attention.head_count_kv", Value::Array(Array::I32(vec![4; 5])))
            .with("llama.attention.key_length", Value::U32(16))
            .with("llama.rope.dimension_count", Value::U32(16))
            .with("llama.rope.freq_base", Value::F32(5e5))
            .with("llama.rope.scaling.type", Value::String("linear".into()))
            .with("llama.rope.scaling.factor", Value::F32(2.0))
            .with("llama.attention.sliding_window", Value::U32(100))
            .with("llama.vocab_size", Value::U32(9))
            .tensor("output.weight", TensorType::F32, &[1], &[0; 4]);
        let expected = LlamaConfig {
            vocab_size: 9,
            num_key_value_heads: 4,
            head_dim: 16,
            rope_theta: 5e5,
            rope_scaling: RopeScaling::Linear { factor: 2.0 },
            sliding_window: Some(100),
            tie_word_embeddings: false,
            ..expected
        };
        assert_eq!(read(sample), Ok(expected));
    }

    #[test]
    fn a_qwen2_has_keys_of_its_own_name_and_biases() {
        let sample = [
            ("block_count", 5),
            ("context_length", 512),
            ("embedding_length", 64),
            ("feed_forward_length", 172),
            ("attention.head_count", 8),
            ("vocab_size", 7),
        ]
        .into_iter()
        .fold(
            GgufSample::new().with("general.architecture", Value::String("qwen2".into())),
            |sample, (key, size)| sample.with(&format!("qwen2.{key}"), Value::U32(size)),
        )
        .with("qwen2.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        let expected = LlamaConfig { attention_bias: AttentionBias::Qkv, ..read(small()).unwrap() };
        assert_eq!(read(sample), Ok(expected));
    }

    #[test]
    fn a_llama_has_the_biases_that_its_file_holds() {
        let biases = |names: &[&str]| {
            let sample = names.iter().fold(small(), |sample, name| {
                sample.tensor(&format!("blk.0.{name}.bias"), TensorType::F32, &[1], &[0; 4])
            });
            read(sample).map(|config| (config.attention_bias, config.mlp_bias)).unwrap()
        };
        assert_eq!(biases(&["attn_q"]), (AttentionBias::Qkv, false));
        assert_eq!(biases(&["attn_q", "attn_output"]), (AttentionBias::All, false));
        assert_eq!(biases(&["ffn_gate"]), (AttentionBias::None, true));
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let text = |text: &str| Value::String(text.into());
        let cases = [
            (GgufSample::new(), "`general.architecture` is missing"),
            (
                GgufSample::new().with("general.architecture", text("qwen3")),
                "is qwen3; llama, mistral3 and qwen2",
            ),
            (
                GgufSample::new().with("general.architecture", text("llama")),
                "`llama.attention.head_count` is missing",
            ),
            (small().with("llama.rope.dimension_count", Value::U32(4)), "is 4, not the head width 8"),
            (small().with("llama.logit_scale", Value::F32(0.1)), "`llama.logit_scale` is 0.1"),
            (small().with("llama.attention.causal", Value::Bool(false)), "`llama.attention.causal` is false"),
            (small().with("llama.expert_count", Value::U32(8)), "mixtures of experts"),
            (small().with("llama.vocab_size", text("many")), "`llama.vocab_size` is not a size"),
            (
                small().with("llama.attention.head_count_kv", Value::Array(Array::I32(vec![1, 2]))),
                "not a size that all layers share",
            ),
            (small().with("llama.attention.head_count_kv", Value::U32(3)), "3 does not divide 8"),
        ];
        for (sample, reason) in cases {
            let error = read(sample).unwrap_err();
            assert!(error.contains("model.gguf: ") && error.contains(reason), "{error}");
        }
    }
    proptest! {
        /// Whatever the metadata says, the answer is a configuration that can be computed with, or an
        /// error.
        #[test]
        fn a_damaged_file_is_an_error_and_never_a_panic(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = small().bytes();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            if let Ok((_, config)) = Gguf::open(file.path()).and_then(|gguf| from_gguf(&gguf)) {
                prop_assert!(config.validate().is_ok());
            }
        }
    }
}
