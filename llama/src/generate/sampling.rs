//! The parameters of sampling, and their ranges.

/// How the next token is chosen. The default is greedy: the most likely token, always.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy, 1 leaves the model's distribution as it is.
    pub temperature: f32,
    /// Keeps this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Drops tokens less likely than this fraction of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits, and multiplies negative ones, of tokens in the prompt or the answer so
    /// far; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of a token as many times as it stands in the answer so far; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Subtracted from the logits of tokens that stand in the answer so far; 0 changes nothing.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Where the random stream starts.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// A sampling parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{parameter} is {value}; it must be {range}")]
pub struct SamplingError {
    /// The field of [`Sampling`].
    pub parameter: &'static str,
    /// What it was set to.
    pub value: f32,
    /// What it may be.
    pub range: &'static str,
}

impl Sampling {
    /// Checks every parameter's range.
    ///
    /// # Errors
    /// The first parameter that is outside.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let unit = 0.0..=1.0; // contains no NaN
        let penalties = -2.0..=2.0;
        let biases = -100.0..=100.0;
        let bias = self.logit_bias.iter().map(|(_, bias)| *bias).find(|bias| !biases.contains(bias));
        let checks = [
            (
                "temperature",
                self.temperature,
                self.temperature.is_finite() && self.temperature >= 0.0,
                "0 or more",
            ),
            ("top_p", self.top_p, unit.contains(&self.top_p), "from 0 to 1"),
            ("min_p", self.min_p, unit.contains(&self.min_p), "from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
                "above 0",
            ),
            (
                "frequency_penalty",
                self.frequency_penalty,
                penalties.contains(&self.frequency_penalty),
                "from -2 to 2",
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                penalties.contains(&self.presence_penalty),
                "from -2 to 2",
            ),
            ("logit_bias", bias.unwrap_or_default(), bias.is_none(), "from -100 to 100"),
        ];
        match checks.into_iter().find(|(.., valid, _)| !valid) {
            Some((parameter, value, _, range)) => Err(SamplingError { parameter, value, range }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_outside_their_range_are_named() {
        let error = Sampling { top_p: 1.5, ..Sampling::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "top_p is 1.5; it must be from 0 to 1");
        for bad in [
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { min_p: f32::NAN, ..Sampling::default() },
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
            Sampling { frequency_penalty: 99.0, ..Sampling::default() },
            Sampling { presence_penalty: f32::NAN, ..Sampling::default() },
            Sampling { logit_bias: vec![(0, 1.0), (1, -101.0)], ..Sampling::default() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
