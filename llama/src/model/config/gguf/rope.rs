//! Rotary positions in GGUF: `rope.scaling.*`, and a tensor of divisors for Llama 3's scaling.

use engine::{LlamaConfig, RopeScaling};

use super::Keys;
use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::gguf::{Storage, Value};
use crate::model::config::checks::checked_factor;
use crate::model::config::yarn::yarn_magnitude;

/// The name of the tensor that holds a divisor for every frequency.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";

const TYPE: &str = "rope.scaling.type";
const FACTOR: &str = "rope.scaling.factor";
const ORIGINAL_CONTEXT_LENGTH: &str = "rope.scaling.original_context_length";
/// Factor by which llama.cpp multiplies sine and cosine in addition to yarn's own magnitude.
const ATTN_FACTOR: &str = "rope.scaling.attn_factor";
/// transformers' `attention_factor`: the whole magnitude of yarn.
const YARN_ATTN_FACTOR: &str = "rope.scaling.yarn_attn_factor";
const YARN_EXT_FACTOR: &str = "rope.scaling.yarn_ext_factor";
const YARN_LOG_MULTIPLIER: &str = "rope.scaling.yarn_log_multiplier";
const YARN_BETA_FAST: &str = "rope.scaling.yarn_beta_fast";
const YARN_BETA_SLOW: &str = "rope.scaling.yarn_beta_slow";

/// The parameters of Llama 3's scaling that all models share; only the factor differs.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
const LLAMA3_CONTEXT: usize = 8192;

impl Keys<'_> {
    /// How the frequencies of `config` are stretched, whose own `rope_scaling` is not read.
    ///
    /// Source: `llama_model_base::load_hparams` and `llama_context` of llama.cpp.
    pub(super) fn rope_scaling(&self, config: &LlamaConfig) -> Result<RopeScaling, LlamaError> {
        let checked = |key: &str, number| {
            checked_factor(number, self.gguf.path(), &format!("{}.{key}", self.architecture))
        };
        // Before there was a type, the one factor meant linear scaling. 0 means none.
        let factor = self.number(FACTOR)?.or(self.number("rope.scale_linear")?);
        let factor = checked(FACTOR, factor.filter(|&factor| factor != 0.0).unwrap_or(1.0))?;
        let attn_factor = checked(ATTN_FACTOR, self.number(ATTN_FACTOR)?.unwrap_or(1.0))?;
        let kind = self.value(TYPE).map_or("linear", |value| value.as_str().unwrap_or("no text"));
        let stretched = factor != 1.0 && kind != "none";
        match kind {
            "none" | "linear" if self.gguf.tensor(ROPE_FACTORS).is_some() && !stretched => {
                self.divisors(config, attn_factor)
            }
            "none" | "linear" | "yarn" if self.gguf.tensor(ROPE_FACTORS).is_some() => {
                Err(self.error(TYPE, format!("is {kind} beside the tensor `{ROPE_FACTORS}`; not supported")))
            }
            "none" | "linear" if attn_factor != 1.0 => {
                Err(self.error(ATTN_FACTOR, format!("is {attn_factor} without yarn; not supported")))
            }
            "linear" if stretched => Ok(RopeScaling::Linear { factor }),
            "none" | "linear" => Ok(RopeScaling::None),
            "yarn" => {
                if let Some(other) = self.number(YARN_EXT_FACTOR)?.filter(|&part| part != 1.0) {
                    return Err(self.error(YARN_EXT_FACTOR, format!("is {other}; only 1 is supported")));
                }
                let own = |mscale| yarn_magnitude(factor.into(), mscale);
                let magnitude = match (self.number(YARN_ATTN_FACTOR)?, self.number(YARN_LOG_MULTIPLIER)?) {
                    (Some(whole), _) => whole,
                    (None, Some(all)) if all != 0.0 => own(1.0) / own(all),
                    _ => own(1.0),
                };
                let beta = |key: &str, default: f64| checked(key, self.number(key)?.unwrap_or(default));
                Ok(RopeScaling::Yarn {
                    factor,
                    original_max_position_embeddings: self
                        .size(ORIGINAL_CONTEXT_LENGTH)?
                        .unwrap_or(config.max_position_embeddings),
                    attention_factor: checked(ATTN_FACTOR, magnitude * f64::from(attn_factor))?,
                    beta_fast: beta(YARN_BETA_FAST, 32.0)?,
                    beta_slow: beta(YARN_BETA_SLOW, 1.0)?,
                    truncate: true,
                })
            }
            other => Err(self.error(TYPE, format!("is {other}; none, linear and yarn are supported"))),
        }
    }

    /// Files carry no parameters of Llama 3's scaling, only its result: a divisor for every frequency. If
    /// they are those of the parameters that Meta's models have, these are recovered; any others are kept
    /// as they are.
    fn divisors(&self, config: &LlamaConfig, attention_factor: f32) -> Result<RopeScaling, LlamaError> {
        let error = |reason: &str| LlamaError::tensor(self.gguf.path(), ROPE_FACTORS, reason);
        let info = self.gguf.tensor(ROPE_FACTORS).ok_or_else(|| error("is missing"))?;
        if info.tensor_type().storage() != Some(Storage::Float(Float::F32)) {
            return Err(error("is not F32"));
        }
        let factors = Float::F32.decode(self.gguf.data(info));
        if factors.len() != config.head_dim / 2 {
            return Err(error("does not have one factor for each pair of a head"));
        }
        if !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
            return Err(error("holds a factor that is not a positive number"));
        }
        let largest = factors.iter().copied().fold(1.0, f32::max);
        let llama3 = RopeScaling::Llama3 {
            factor: largest,
            low_freq_factor: LOW_FREQ_FACTOR as f32,
            high_freq_factor: HIGH_FREQ_FACTOR as f32,
            original_max_position_embeddings: LLAMA3_CONTEXT,
        };
        let known = LlamaConfig { rope_scaling: llama3.clone(), ..config.clone() };
        let close = |(known, &found): (f32, &f32)| (known - found).abs() <= LLAMA3_TOLERANCE * known;
        let is_llama3 = rope_factors(&known).into_iter().flatten().zip(&factors).all(close);
        Ok(match attention_factor == 1.0 {
            true if largest == 1.0 && is_llama3 => RopeScaling::None,
            true if is_llama3 => llama3,
            _ => RopeScaling::LongRope { factors, attention_factor },
        })
    }
}

/// Largest relative difference of a divisor from that of the known parameters: writers compute it in f32,
/// where the ramp between two frequencies loses some digits.
const LLAMA3_TOLERANCE: f32 = 1e-4;

/// What [`ROPE_FACTORS`] holds, for a model whose frequencies have a divisor each.
pub(crate) fn rope_factors(config: &LlamaConfig) -> Option<Vec<f32>> {
    match &config.rope_scaling {
        &RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: original,
        } => {
            let factors = [factor, low_freq_factor, high_freq_factor].map(f64::from);
            let (width, theta) = (config.head_dim, config.rope_theta.into());
            let divisor = |pair| llama3_divisor(pair, width, theta, factors, original) as f32;
            Some((0..width / 2).map(divisor).collect())
        }
        RopeScaling::LongRope { factors, .. } => Some(factors.clone()),
        _ => None,
    }
}

/// The keys of a model's `rope_scaling`, beside [`ROPE_FACTORS`].
///
/// # Errors
/// What GGUF has no key for.
pub(crate) fn rope_keys(config: &LlamaConfig) -> Result<Vec<(&'static str, Value)>, String> {
    let text = |text: &str| Value::String(text.into());
    Ok(match config.rope_scaling {
        // Up to `context_length` the dynamic frequencies are those of training.
        RopeScaling::None | RopeScaling::Dynamic { .. } | RopeScaling::Llama3 { .. } => Vec::new(),
        RopeScaling::Linear { factor } => vec![(TYPE, text("linear")), (FACTOR, Value::F32(factor))],
        RopeScaling::LongRope { attention_factor, .. } => vec![(ATTN_FACTOR, Value::F32(attention_factor))],
        RopeScaling::Yarn { truncate: false, .. } => {
            return Err("yarn without `truncate` has no form in GGUF".into());
        }
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate: true,
        } => {
            let own = yarn_magnitude(factor.into(), 1.0);
            let attn_factor = (f64::from(attention_factor) / own) as f32;
            let mut keys = vec![
                (TYPE, text("yarn")),
                (FACTOR, Value::F32(factor)),
                (ORIGINAL_CONTEXT_LENGTH, Value::U32(original as u32)),
            ];
            keys.extend((attn_factor != 1.0).then_some((ATTN_FACTOR, Value::F32(attn_factor))));
            keys.extend((beta_fast != 32.0).then_some((YARN_BETA_FAST, Value::F32(beta_fast))));
            keys.extend((beta_slow != 1.0).then_some((YARN_BETA_SLOW, Value::F32(beta_slow))));
            keys
        }
    })
}

/// The number by which Llama 3.1's scaling divides the frequency of rotary pair `pair`: `factor` for long wavelengths,
/// 1 for short ones, and a smooth transition between them.
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
    use super::*;
    use crate::files::gguf::TensorType;
    use crate::files::gguf::sample::GgufSample;
    use crate::model::config::gguf::tests::{read, small};

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
        // Any others are used as they are.
        let mut other: Vec<f32> = factors(8.0);
        other[17] *= 1.1;
        let table = RopeScaling::LongRope { factors: other.clone(), attention_factor: 1.0 };
        assert_eq!(read(sample(other)).unwrap().rope_scaling, table);
        for bad in [f32::NAN, 0.0, -1.0] {
            assert!(read(sample(vec![bad; 32])).unwrap_err().contains("not a positive number"));
        }
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

    /// The model of [`small`] with these keys of `llama.rope.`.
    fn with(keys: &[(&str, Value)]) -> GgufSample {
        keys.iter().fold(small(), |sample, (key, value)| sample.with(&format!("llama.{key}"), value.clone()))
    }

    #[test]
    fn what_is_written_is_read() {
        let plain = read(small()).unwrap();
        let yarn = |factor, attention_factor, beta_fast| RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: 128,
            attention_factor,
            beta_fast,
            beta_slow: 1.0,
            truncate: true,
        };
        let own = yarn_magnitude(4.0, 1.0) as f32;
        for scaling in [
            RopeScaling::None,
            RopeScaling::Linear { factor: 2.5 },
            yarn(4.0, own, 32.0),
            yarn(4.0, 2.0 * own, 16.0),
        ] {
            let config = LlamaConfig { rope_scaling: scaling.clone(), ..plain.clone() };
            assert_eq!(read(with(&rope_keys(&config).unwrap())).unwrap().rope_scaling, scaling);
        }
        let dynamic = LlamaConfig { rope_scaling: RopeScaling::Dynamic { factor: 2.0 }, ..plain.clone() };
        assert_eq!(
            read(with(&rope_keys(&dynamic).unwrap())),
            Ok(plain.clone()),
            "the same up to the context"
        );
        let mut smooth = yarn(4.0, own, 32.0);
        if let RopeScaling::Yarn { truncate, .. } = &mut smooth {
            *truncate = false;
        }
        let refused = rope_keys(&LlamaConfig { rope_scaling: smooth, ..plain });
        assert!(refused.unwrap_err().contains("without `truncate`"));
    }

    #[test]
    fn the_magnitude_of_yarn_is_that_of_llama_cpp() {
        let magnitude = |keys: &[(&str, f32)]| {
            let mut all = vec![(TYPE, Value::String("yarn".into())), (FACTOR, Value::F32(4.0))];
            all.extend(keys.iter().map(|&(key, number)| (key, Value::F32(number))));
            let RopeScaling::Yarn { attention_factor, .. } = read(with(&all)).unwrap().rope_scaling else {
                panic!("not yarn")
            };
            attention_factor
        };
        let own = |mscale| yarn_magnitude(4.0, mscale) as f32;
        assert_eq!(magnitude(&[]), own(1.0));
        assert_eq!(magnitude(&[(ATTN_FACTOR, 0.5)]), 0.5 * own(1.0));
        assert_eq!(magnitude(&[(YARN_LOG_MULTIPLIER, 1.0)]), 1.0, "as Mistral 3 has it");
        assert_eq!(magnitude(&[(YARN_ATTN_FACTOR, 1.5)]), 1.5);
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let text = |text: &str| Value::String(text.into());
        let ones = |sample: GgufSample| {
            sample.tensor(ROPE_FACTORS, TensorType::F32, &[4], &Float::F32.encode(&[1.0; 4]))
        };
        for (sample, reason) in [
            (
                with(&[(TYPE, text("longrope"))]),
                "`llama.rope.scaling.type` is longrope; none, linear and yarn",
            ),
            (with(&[(TYPE, text("yarn")), (YARN_EXT_FACTOR, Value::F32(0.5))]), "yarn_ext_factor` is 0.5"),
            (with(&[(ATTN_FACTOR, Value::F32(1.2))]), "attn_factor` is 1.2 without yarn"),
            (with(&[(FACTOR, Value::F32(-2.0))]), "`llama.rope.scaling.factor` is -2, not a positive number"),
            (ones(with(&[(FACTOR, Value::F32(2.0))])), "is linear beside the tensor `rope_freqs.weight`"),
            (ones(with(&[(TYPE, text("yarn"))])), "is yarn beside the tensor `rope_freqs.weight`"),
        ] {
            let error = read(sample).unwrap_err();
            assert!(error.contains("model.gguf: ") && error.contains(reason), "{error}");
        }
    }
}
