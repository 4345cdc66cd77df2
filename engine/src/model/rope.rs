//! Rotary positions: the angles of every position, computed once per step for all layers.
//!
//! Pairing is half-split, Hugging Face's: element `i` of a head turns with element `i + head_dim/2`.
//! GGUF files store the rows of q and k permuted for the interleaved pairing `(2i, 2i + 1)`; the GGUF
//! loader undoes that, so this is the only place that knows a pairing.

use std::f32::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};

use crate::{LlamaConfig, RopeScaling, ops};

/// The rotary frequencies of a model.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    frequencies: Vec<f32>, // [head_dim / 2], radians a position
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
        let plain = |i: usize| {
            let exponent = i as f64 / half as f64;
            (1.0 / f64::from(config.rope_theta).powf(exponent)) as f32
        };
        Self { frequencies: (0..half).map(|i| scale(plain(i), &config.rope_scaling)).collect() }
    }

    /// The rotation of tokens at `positions`.
    pub fn at(&self, positions: &[usize], device: &Device) -> Rotation {
        let half = self.frequencies.len();
        let angles = positions.iter().flat_map(|p| self.frequencies.iter().map(move |f| *p as f32 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
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

/// Stretches one frequency. Source of the Llama 3 form: `_compute_llama3_parameters` of transformers.
fn scale(frequency: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let original = original_max_position_embeddings as f32;
            let wavelength = 2.0 * PI / frequency;
            if wavelength < original / high_freq_factor {
                frequency
            } else if wavelength > original / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama3(frequency: f32) -> f32 {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        scale(frequency, &scaling)
    }

    #[test]
    fn llama3_keeps_high_frequencies_and_divides_low_ones() {
        assert_eq!(llama3(1.0), 1.0);
        assert_eq!(llama3(1e-5), 1e-5 / 8.0);
        let between = llama3(0.002); // wavelength 3142, between 2048 and 8192
        assert!(0.002 / 8.0 < between && between < 0.002, "{between}");
    }

    #[test]
    fn linear_divides_every_frequency() {
        assert_eq!(scale(0.5, &RopeScaling::Linear { factor: 4.0 }), 0.125);
    }
}
