//! Rotary positions: the angles of every position, computed once per step for all layers.
//!
//! Pairing is half-split, Hugging Face's: element `i` of a head turns with element `i + head_dim/2`.
//! GGUF files store the rows of q and k permuted for the interleaved pairing `(2i, 2i + 1)`; the GGUF
//! loader undoes that, so this is the only place that knows a pairing.

use std::f32::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{LlamaConfig, RopeScaling};
use crate::ops;

/// The rotary frequencies of a model.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    frequencies: Vec<f32>, // [head_dim / 2], radians a position
    /// The factor of sine and cosine: 1 but for YaRN and LongRoPE.
    magnitude: f32,
}

/// The rotation of one step's tokens.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    cos: Tensor<3>, // [tokens, 1, head_dim / 2]
    sin: Tensor<3>,
}

impl Rope {
    pub fn new(config: &LlamaConfig) -> Self {
        let half = config.head_dim / 2;
        let plain = (0..half).map(|i| {
            let exponent = i as f64 / half as f64;
            (1.0 / f64::from(config.rope_theta).powf(exponent)) as f32
        });
        let (frequencies, magnitude) = scaled(plain, config);
        Self { frequencies, magnitude }
    }

    /// The rotation of tokens at `positions`.
    pub fn at(&self, positions: &[usize], device: &Device) -> Rotation {
        let half = self.frequencies.len();
        let angles = positions.iter().flat_map(|p| self.frequencies.iter().map(move |f| *p as f32 * f));
        let scaled = |angle: f32| (angle.cos() * self.magnitude, angle.sin() * self.magnitude);
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(scaled).unzip();
        let tensor = |values| Tensor::from_data(TensorData::new(values, [positions.len(), 1, half]), device);
        Rotation { cos: tensor(cos), sin: tensor(sin) }
    }
}

impl Rotation {
    /// Rotates `x [tokens, heads, head_dim]`.
    pub fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        ops::rotary::rotary(x, self.cos.clone(), self.sin.clone())
    }
}

/// The frequencies as `rope_scaling` stretches them, and the magnitude of sine and cosine. Source:
/// `ROPE_INIT_FUNCTIONS` of transformers.
fn scaled(plain: impl Iterator<Item = f32>, config: &LlamaConfig) -> (Vec<f32>, f32) {
    match &config.rope_scaling {
        RopeScaling::None | RopeScaling::Dynamic { .. } => (plain.collect(), 1.0),
        RopeScaling::Linear { factor } => (plain.map(|frequency| frequency / factor).collect(), 1.0),
        RopeScaling::LongRope { factors, attention_factor } => {
            (plain.zip(factors).map(|(frequency, factor)| frequency / factor).collect(), *attention_factor)
        }
        &RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let original = original_max_position_embeddings as f32;
            let stretched = plain.map(|frequency| {
                let wavelength = 2.0 * PI / frequency;
                if wavelength < original / high_freq_factor {
                    frequency
                } else if wavelength > original / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth =
                        (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            });
            (stretched.collect(), 1.0)
        }
        &RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
        } => {
            // The pair that turns so often within the original context.
            let width = config.head_dim as f64;
            let pair_of = |turns: f32| {
                let wavelength = original as f64 / f64::from(turns);
                width * (wavelength / std::f64::consts::TAU).ln() / (2.0 * f64::from(config.rope_theta).ln())
            };
            let (first, last) = match truncate {
                true => (pair_of(beta_fast).floor(), pair_of(beta_slow).ceil()),
                false => (pair_of(beta_fast), pair_of(beta_slow)),
            };
            let (first, last) = (first.max(0.0), last.min(width - 1.0));
            let length = if first == last { 0.001 } else { last - first };
            let stretched = plain.enumerate().map(|(pair, frequency)| {
                let divided = ((pair as f64 - first) / length).clamp(0.0, 1.0) as f32;
                frequency / factor * divided + frequency * (1.0 - divided)
            });
            (stretched.collect(), attention_factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::every_backend::{device, on_every_backend};
    use crate::model::laws::config;

    on_every_backend!(sine_and_cosine_have_yarns_magnitude,);

    /// Largest relative difference from a frequency of transformers: a power in f32 there, in f64 here.
    const ROUNDED: f64 = 1e-5;

    /// What `config.json` says, as the crate `llama` reads it.
    fn scaling(fields: &Value, attention_factor: f64) -> RopeScaling {
        let number = |name: &str| fields[name].as_f64().map(|number| number as f32);
        let factor = number("factor").unwrap();
        let original = fields["original_max_position_embeddings"].as_u64().unwrap_or(0) as usize;
        match fields["rope_type"].as_str().unwrap() {
            "linear" => RopeScaling::Linear { factor },
            "dynamic" => RopeScaling::Dynamic { factor },
            "llama3" => RopeScaling::Llama3 {
                factor,
                low_freq_factor: number("low_freq_factor").unwrap(),
                high_freq_factor: number("high_freq_factor").unwrap(),
                original_max_position_embeddings: original,
            },
            "yarn" => RopeScaling::Yarn {
                factor,
                original_max_position_embeddings: original,
                attention_factor: attention_factor as f32,
                beta_fast: number("beta_fast").unwrap_or(32.0),
                beta_slow: number("beta_slow").unwrap_or(1.0),
                truncate: fields["truncate"].as_bool().unwrap_or(true),
            },
            "longrope" => RopeScaling::LongRope {
                factors: serde_json::from_value(fields["short_factor"].clone()).unwrap(),
                attention_factor: attention_factor as f32,
            },
            other => panic!("{other}"),
        }
    }

    #[test]
    fn frequencies_are_those_of_transformers() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/fixtures/rope.json")).unwrap();
        assert!(cases.len() >= 18);
        for case in cases {
            let (fields, attention_factor) =
                (&case["rope_scaling"], case["attention_factor"].as_f64().unwrap());
            let inv_freq: Vec<f64> = serde_json::from_value(case["inv_freq"].clone()).unwrap();
            let config = LlamaConfig {
                head_dim: 32,
                rope_theta: case["rope_theta"].as_f64().unwrap() as f32,
                rope_scaling: scaling(fields, attention_factor),
                ..config()
            };
            config.validate().unwrap();
            let rope = Rope::new(&config);
            assert_eq!(rope.magnitude, attention_factor as f32, "{fields}");
            assert_eq!(rope.frequencies.len(), inv_freq.len());
            for (found, expected) in rope.frequencies.iter().zip(inv_freq) {
                let difference = (f64::from(*found) - expected).abs() / expected;
                assert!(difference <= ROUNDED, "{fields} {}: {found} {expected}", config.rope_theta);
            }
        }
    }

    fn sine_and_cosine_have_yarns_magnitude() {
        let factors = vec![1.0; config().head_dim / 2];
        let stretched = LlamaConfig {
            rope_scaling: RopeScaling::LongRope { factors, attention_factor: 1.5 },
            ..config()
        };
        let turned = |config: &LlamaConfig| {
            let rotation = Rope::new(config).at(&[0, 3, 200], &device());
            [rotation.cos, rotation.sin].map(|angles| angles.into_data().try_to_vec::<f32>().unwrap())
        };
        let [cos, sin] = turned(&config());
        let scaled = |values: Vec<f32>| values.into_iter().map(|value| value * 1.5).collect::<Vec<f32>>();
        assert_eq!(turned(&stretched), [scaled(cos), scaled(sin)]);
    }
}
