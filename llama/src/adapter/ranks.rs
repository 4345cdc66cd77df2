//! Ranks and scales that differ from projection to projection: PEFT's `rank_pattern` and `alpha_pattern`.
//!
//! The engine has one rank and one scale for all. A product of a lower rank is one of a higher with zeros in it, and a
//! scale of its own is a factor of B, so that every such adapter is a plain one of the highest rank.

use burn::tensor::Tensor;
use engine::{LoraConfig, LoraWeights};
use regex::Regex;
use serde_json::Value;

/// Numbers by patterns of modules' names, in the file's order.
#[derive(Debug, Default)]
pub(super) struct Pattern(Vec<(Regex, f64)>);

impl Pattern {
    /// Reads the field `name`.
    pub fn parse(name: &str, value: &Value) -> Result<Self, String> {
        let fields = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            other => return Err(format!("{name} is {other}; names with numbers are wanted")),
        };
        let entry = |(pattern, value): (&String, &Value)| {
            let number = value.as_f64().filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| format!("{name} gives `{pattern}` {value}; a number is wanted"))?;
            // As PEFT: the pattern is the whole name, or what follows a dot in it.
            let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"));
            let regex =
                regex.map_err(|_| format!("{name} has the pattern `{pattern}`, which cannot be read"))?;
            Ok((regex, number))
        };
        fields.iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// The number of the first pattern that matches `module`.
    pub fn of(&self, module: &str) -> Option<f64> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(module)).map(|(_, number)| *number)
    }
}

/// `weights` with one rank and one scale, which `config` gets. `alphas` has each one's `lora_alpha`.
pub(super) fn unify(weights: Vec<LoraWeights>, alphas: &[f32], config: &mut LoraConfig) -> Vec<LoraWeights> {
    let rank = |weights: &LoraWeights| weights.a.dims()[0];
    let highest = weights.iter().map(rank).max().unwrap_or(config.r);
    let uniform = weights.iter().all(|weights| rank(weights) == highest);
    config.r = highest;
    if let Some(&alpha) = alphas.first()
        && uniform
        && alphas.iter().all(|other| *other == alpha)
    {
        config.lora_alpha = alpha;
        return weights;
    }
    config.lora_alpha = alphas.iter().fold(0.0, |largest: f32, alpha| largest.max(alpha.abs()));
    let common = config.scale();
    let widened = |(weights, &alpha): (LoraWeights, &f32)| {
        let r = rank(&weights);
        let own = LoraConfig { r, lora_alpha: alpha, ..config.clone() }.scale();
        let LoraWeights { module, a, b, magnitude } = weights;
        let ([_, inputs], [outputs, _], device) = (a.dims(), b.dims(), a.device());
        let a = Tensor::cat(vec![a, Tensor::zeros([highest - r, inputs], &device)], 0); // [highest, in]
        let b = Tensor::cat(vec![b, Tensor::zeros([outputs, highest - r], &device)], 1); // [out, highest]
        let factor = if common == 0.0 { 0.0 } else { own / common };
        LoraWeights { module, a, b: b.mul_scalar(factor), magnitude }
    };
    weights.into_iter().zip(alphas).map(widened).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use serde_json::json;

    use super::*;

    fn device() -> burn::tensor::Device {
        engine::device::parse(engine::device::AVAILABLE[0]).unwrap()
    }

    fn weights(module: &str, r: usize) -> LoraWeights {
        let numbers = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|at| at as f32 * 0.5 - 1.0).collect();
            Tensor::from_data(TensorData::new(values, [rows, columns]), &device())
        };
        LoraWeights { module: module.into(), a: numbers(r, 3), b: numbers(2, r), magnitude: None }
    }

    fn product(weights: &LoraWeights, config: &LoraConfig) -> Vec<f32> {
        let product = weights.b.clone().matmul(weights.a.clone()).mul_scalar(config.scale());
        product.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_pattern_names_whole_parts_of_a_module() {
        let pattern =
            Pattern::parse("rank_pattern", &json!({"q_proj": 4, "^mlp.*": 2, "layers.1.*v_proj": 3}))
                .unwrap();
        assert_eq!(pattern.of("model.layers.0.self_attn.q_proj"), Some(4.0));
        assert_eq!(pattern.of("model.layers.1.self_attn.v_proj"), Some(3.0));
        assert_eq!(pattern.of("model.layers.0.mlp.up_proj"), None, "no name begins with mlp");
        assert_eq!(pattern.of("model.layers.0.self_attn.xq_proj"), None);
        assert!(Pattern::parse("rank_pattern", &json!({"(": 2})).unwrap_err().contains("the pattern `(`"));
        assert!(Pattern::parse("rank_pattern", &json!({"q": "2"})).unwrap_err().contains("gives `q` \"2\""));
    }

    #[test]
    fn ranks_and_scales_of_their_own_are_the_same_products() {
        for use_rslora in [false, true] {
            let own = [(2, 8.0), (4, 2.0), (1, 8.0)];
            let all: Vec<_> = own.iter().map(|&(r, _)| weights("q_proj", r)).collect();
            let expected: Vec<Vec<f32>> = own
                .iter()
                .zip(&all)
                .map(|(&(r, lora_alpha), weights)| {
                    product(weights, &LoraConfig { r, lora_alpha, use_rslora, ..LoraConfig::default() })
                })
                .collect();
            let mut config = LoraConfig { use_rslora, ..LoraConfig::default() };
            let unified = unify(all, &own.map(|(_, alpha)| alpha), &mut config);
            assert_eq!(config.r, 4);
            for (weights, expected) in unified.iter().zip(&expected) {
                assert_eq!((weights.a.dims(), weights.b.dims()), ([4, 3], [2, 4]));
                for (found, expected) in product(weights, &config).iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn one_rank_and_scale_stay_as_they_are() {
        let mut config = LoraConfig { r: 8, lora_alpha: 16.0, ..LoraConfig::default() };
        let unified = unify(vec![weights("q_proj", 2), weights("v_proj", 2)], &[6.0, 6.0], &mut config);
        assert_eq!((config.r, config.lora_alpha), (2, 6.0));
        assert_eq!(unified[0].b.dims(), [2, 2]);
    }
}
