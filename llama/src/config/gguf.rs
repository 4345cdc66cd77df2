//! The `llama.*` metadata of GGUF files.

use engine::{LlamaConfig, RopeScaling};

use super::{checked, checked_factor};
use crate::LlamaError;
use crate::float::Float;
use crate::gguf::{Array, Gguf, Storage, Value};

/// Architectures whose tensors and arithmetic are Llama's. Mistral 7B files say `llama`.
const ARCHITECTURES: [&str; 2] = ["llama", "mistral3"];

/// The configuration that a GGUF file's metadata describes.
///
/// # Errors
/// If a key is missing or has a wrong type, or the model is one that the engine cannot run.
pub fn from_gguf(gguf: &Gguf) -> Result<LlamaConfig, LlamaError> {
    let keys = Keys::new(gguf)?;
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
    let rope_theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
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
        rope_theta: rope_theta as f32,
        rope_scaling: RopeScaling::None,
        sliding_window: keys.size("attention.sliding_window")?.filter(|&window| window > 0),
        tie_word_embeddings: gguf.tensor("output.weight").is_none(),
    };
    let mut config = checked(config, gguf.path())?;
    config.rope_scaling = keys.rope_scaling(rope_theta, config.head_dim)?;
    Ok(config)
}

/// The metadata of one architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'static str,
}

impl<'a> Keys<'a> {
    fn new(gguf: &'a Gguf) -> Result<Self, LlamaError> {
        let name = "general.architecture";
        let found = gguf
            .metadata(name)
            .and_then(Value::as_str)
            .ok_or_else(|| LlamaError::config(gguf.path(), name, "is missing"))?;
        match ARCHITECTURES.into_iter().find(|&architecture| architecture == found) {
            Some(architecture) => Ok(Self { gguf, architecture }),
            None => Err(LlamaError::config(
                gguf.path(),
                name,
                format!("is {found}; {} are supported", ARCHITECTURES.join(" and ")),
            )),
        }
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.gguf.metadata(&format!("{}.{key}", self.architecture))
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> LlamaError {
        LlamaError::config(self.gguf.path(), &format!("{}.{key}", self.architecture), reason)
    }

    /// A size. An array of one per layer is read where all layers have the same.
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
        if self.value("attention.temperature_scale").is_some() {
            return Err(self.error("attention.temperature_scale", "is set; this is not supported"));
        }
        Ok(())
    }

    fn rope_scaling(&self, theta: f64, head_dim: usize) -> Result<RopeScaling, LlamaError> {
        if self.gguf.tensor(ROPE_FACTORS).is_some() {
            return self.llama3(theta, head_dim);
        }
        let key = "rope.scaling.type";
        // Before there was a type, the one factor meant linear scaling.
        let old = self.number("rope.scale_linear")?;
        match self.value(key).map(|value| value.as_str().unwrap_or("no text")) {
            Some("none") => Ok(RopeScaling::None),
            Some("linear") | None => match self.number("rope.scaling.factor")?.or(old) {
                Some(factor) if factor != 1.0 && factor != 0.0 => {
                    let key = format!("{}.rope.scaling.factor", self.architecture);
                    Ok(RopeScaling::Linear { factor: checked_factor(factor, self.gguf.path(), &key)? })
                }
                _ => Ok(RopeScaling::None),
            },
            Some(other) => Err(self.error(key, format!("is {other}; none and linear are supported"))),
        }
    }

    /// Llama 3.1 files carry no parameters of their scaling, only its result: a divisor for every
    /// frequency. All of them were made with the same parameters but for `factor`, which is the
    /// largest divisor; that the others follow from it is checked.
    fn llama3(&self, theta: f64, head_dim: usize) -> Result<RopeScaling, LlamaError> {
        let error = |reason: &str| LlamaError::tensor(self.gguf.path(), ROPE_FACTORS, reason);
        let info = self.gguf.tensor(ROPE_FACTORS).ok_or_else(|| error("is missing"))?;
        if info.tensor_type().storage() != Some(Storage::Float(Float::F32)) {
            return Err(error("is not F32"));
        }
        let factors = Float::F32.decode(self.gguf.data(info));
        if factors.len() != head_dim / 2 {
            return Err(error("does not have one factor for each pair of a head"));
        }
        let largest = factors.iter().copied().fold(1.0, f32::max);
        let [low, high] = [LOW_FREQ_FACTOR, HIGH_FREQ_FACTOR];
        let expected = (0..factors.len())
            .map(|pair| llama3_divisor(pair, head_dim, theta, [largest.into(), low, high], ORIGINAL_CONTEXT));
        if !expected
            .zip(&factors)
            .all(|(expected, &found)| (expected - f64::from(found)).abs() <= 1e-3 * expected)
        {
            return Err(error("does not hold the factors of Llama 3's scaling; others are not supported"));
        }
        if largest == 1.0 {
            return Ok(RopeScaling::None);
        }
        Ok(RopeScaling::Llama3 {
            factor: largest,
            low_freq_factor: LOW_FREQ_FACTOR as f32,
            high_freq_factor: HIGH_FREQ_FACTOR as f32,
            original_max_position_embeddings: ORIGINAL_CONTEXT,
        })
    }
}

/// The name of the tensor that holds the divisors of Llama 3's scaling.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
const ORIGINAL_CONTEXT: usize = 8192;

/// What [`ROPE_FACTORS`] holds for a model whose positions are stretched as Llama 3's.
pub(crate) fn rope_factors(config: &LlamaConfig) -> Option<Vec<f32>> {
    let RopeScaling::Llama3 {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings: original,
    } = config.rope_scaling
    else {
        return None;
    };
    let factors = [factor, low_freq_factor, high_freq_factor].map(f64::from);
    let divisor = |pair| llama3_divisor(pair, config.head_dim, config.rope_theta.into(), factors, original);
    Some((0..config.head_dim / 2).map(|pair| divisor(pair) as f32).collect())
}

/// By what Llama 3.1's scaling divides the frequency of rotary pair `pair`: long wavelengths by
/// `factor`, short ones by 1, and between them the frequency goes from one to the other smoothly.
fn llama3_divisor(
    pair: usize,
    head_dim: usize,
    theta: f64,
    [factor, low_freq_factor, high_freq_factor]: [f64; 3],
    original_context: usize,
) -> f64 {
    let wavelength = std::f64::consts::TAU * theta.powf(2.0 * pair as f64 / head_dim as f64);
    let turns = original_context as f64 / wavelength;
    let smooth = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
    1.0 / ((1.0 - smooth) / factor + smooth)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::TensorType;
    use crate::gguf::sample::GgufSample;

    fn small() -> GgufSample {
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

    fn read(sample: GgufSample) -> Result<LlamaConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, sample.bytes()).unwrap();
        from_gguf(&Gguf::open(&path).unwrap()).map_err(|error| error.to_string())
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
    fn llama_3_scaling_is_recovered_from_its_factors() {
        let sample = |factors: Vec<f32>| {
            let bytes: Vec<u8> = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
            small()
                .with("llama.attention.key_length", Value::U32(64))
                .with("llama.rope.freq_base", Value::F32(5e5))
                .tensor("rope_freqs.weight", TensorType::F32, &[factors.len() as u64], &bytes)
        };
        let scaling = |factor| RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain = read(small().with("llama.attention.key_length", Value::U32(64))).unwrap();
        let factors = |factor| {
            let scaled = LlamaConfig { rope_theta: 5e5, rope_scaling: scaling(factor), ..plain.clone() };
            rope_factors(&scaled).unwrap()
        };
        assert_eq!(read(sample(factors(32.0))).unwrap().rope_scaling, scaling(32.0));
        assert_eq!(read(sample(factors(1.0))).unwrap().rope_scaling, RopeScaling::None);
        let mut other: Vec<f32> = factors(8.0);
        other[17] *= 1.1;
        assert!(read(sample(other)).unwrap_err().contains("`rope_freqs.weight` does not hold the factors"));
        assert!(read(sample(vec![f32::NAN; 32])).is_err());
        assert!(read(sample(vec![1.0; 3])).unwrap_err().contains("one factor for each pair"));
    }

    /// The divisors that llama.cpp's converter writes for Llama 3.2 1B (head width 64, factor 32),
    /// computed as it does: by wavelength, with no clamp.
    #[test]
    fn the_divisor_is_that_of_the_converter() {
        for pair in 0..32 {
            let wavelength = std::f64::consts::TAU / 5e5f64.powf(-(2.0 * f64::from(pair)) / 64.0);
            let expected = if wavelength < 8192.0 / 4.0 {
                1.0
            } else if wavelength > 8192.0 {
                32.0
            } else {
                let smooth = (8192.0 / wavelength - 1.0) / (4.0 - 1.0);
                1.0 / ((1.0 - smooth) / 32.0 + smooth)
            };
            let divisor = llama3_divisor(pair as usize, 64, 5e5, [32.0, 1.0, 4.0], 8192);
            assert!((divisor - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let text = |text: &str| Value::String(text.into());
        let cases = [
            (GgufSample::new(), "`general.architecture` is missing"),
            (GgufSample::new().with("general.architecture", text("qwen2")), "is qwen2; llama and mistral3"),
            (
                GgufSample::new().with("general.architecture", text("llama")),
                "`llama.attention.head_count` is missing",
            ),
            (small().with("llama.rope.dimension_count", Value::U32(4)), "is 4, not the head width 8"),
            (small().with("llama.rope.scaling.type", text("yarn")), "`llama.rope.scaling.type` is yarn"),
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
            if let Ok(config) = Gguf::open(file.path()).and_then(|gguf| from_gguf(&gguf)) {
                prop_assert!(config.validate().is_ok());
            }
        }
    }
}
