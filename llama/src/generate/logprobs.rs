//! How likely the model held a token, and the tokens that it held most likely.

/// Stands for the logarithm of zero, which JSON cannot write; OpenAI gives the same number.
const IMPOSSIBLE: f32 = -9999.0;

/// Natural logarithms of the model's own probabilities at one token: before biases, penalties and temperature, as
/// vLLM gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// That of the token.
    pub chosen: f32,
    /// The most likely tokens with theirs, the most likely first.
    pub top: Vec<(u32, f32)>,
}

impl TokenLogprobs {
    /// Those of `chosen` and of the `count` most likely tokens. Of equally likely tokens the one with the smallest
    /// id comes first.
    pub(crate) fn of(logits: &[f32], chosen: u32, count: usize) -> Self {
        let largest =
            logits.iter().copied().filter(|logit| !logit.is_nan()).fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| (f64::from(logit.min(f32::MAX)) - f64::from(largest.min(f32::MAX))).exp();
        let total: f64 = logits.iter().filter(|logit| !logit.is_nan()).map(|&logit| weight(logit)).sum();
        let logprob = |logit: f32| match (weight(logit) / total).ln() as f32 {
            logprob if logprob.is_finite() => logprob.max(IMPOSSIBLE),
            _ => IMPOSSIBLE,
        };
        let mut ranked: Vec<(u32, f32)> = (0u32..)
            .zip(logits.iter().copied())
            .filter(|(_, logit)| count > 0 && *logit > f32::NEG_INFINITY)
            .collect();
        let more_likely = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if (1..ranked.len()).contains(&count) {
            ranked.select_nth_unstable_by(count - 1, more_likely);
            ranked.truncate(count);
        }
        ranked.sort_unstable_by(more_likely);
        Self {
            chosen: logits.get(chosen as usize).map_or(IMPOSSIBLE, |&logit| logprob(logit)),
            top: ranked.into_iter().map(|(token, logit)| (token, logprob(logit))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits with probabilities 0.1, 0.4, 0.4, 0.1, shifted.
    fn logits() -> Vec<f32> {
        [0.1f32, 0.4, 0.4, 0.1].map(|p| p.ln() + 30.0).to_vec()
    }

    fn is_near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn logarithms_of_probabilities() {
        let logprobs = TokenLogprobs::of(&logits(), 3, 3);
        assert!(is_near(logprobs.chosen, 0.1f32.ln()), "{logprobs:?}");
        assert_eq!(logprobs.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 2, 0]);
        assert!(is_near(logprobs.top[0].1, 0.4f32.ln()), "{logprobs:?}");
        assert_eq!(TokenLogprobs::of(&logits(), 0, 0).top, []);
        assert_eq!(TokenLogprobs::of(&logits(), 0, 9).top.len(), 4);
    }

    #[test]
    fn what_is_impossible_is_a_number() {
        let logprobs = TokenLogprobs::of(&[0.0, f32::NEG_INFINITY, f32::NAN], 1, 3);
        assert_eq!(logprobs, TokenLogprobs { chosen: IMPOSSIBLE, top: vec![(0, 0.0)] });
        assert_eq!(TokenLogprobs::of(&[0.0, f32::INFINITY], 1, 0).chosen, 0.0);
        assert_eq!(TokenLogprobs::of(&[], 1, 1).chosen, IMPOSSIBLE);
    }
}
