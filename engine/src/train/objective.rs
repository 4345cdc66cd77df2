//! Losses as functions of the log-probabilities of learned tokens. What a loss is made of (rows, chunks of logits,
//! layers) does not concern it: the gradient of each row flows back scaled by the loss's slope there.

/// The value of a loss, and its derivatives by the log-probabilities it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// What is minimized.
    pub value: f64,
    /// By each log-probability, in the order given: a list for each example.
    pub slopes: Vec<Vec<f32>>,
}

/// The negative log-likelihood over `tokens`: with as many as all micro-batches of a step learn, their mean.
///
/// `Σ −log p / tokens`
///
/// Where:
/// - `log_probs`: of each example's learned tokens, in nats
pub fn negative_log_likelihood(log_probs: &[&[f32]], tokens: usize) -> Loss {
    let sum: f64 = log_probs.iter().copied().flatten().map(|log_p| f64::from(*log_p)).sum();
    let slope = -1.0 / tokens as f32;
    Loss {
        value: -sum / tokens as f64,
        slopes: log_probs.iter().map(|example| vec![slope; example.len()]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::every_backend::on_every_backend;
    use crate::model::laws::{config, lora_config, model, random_adapter};
    use crate::model::llama::Llama;
    use crate::train::adamw::AdamWConfig;
    use crate::train::finetune::Finetune;
    use crate::train::laws::{examples, parameters};

    on_every_backend!(a_preference_loss_needs_no_engine, a_loss_without_a_slope_for_each_token_is_refused);

    /// Direct preference optimization without a reference model: `−log σ(β · (log p(chosen) − log p(rejected)))` of
    /// the first two examples.
    ///
    /// Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7.
    fn preference(log_probs: &[&[f32]]) -> Loss {
        const BETA: f64 = 0.3;
        let sum = |example: &[f32]| example.iter().map(|log_p| f64::from(*log_p)).sum::<f64>();
        let margin = BETA * (sum(log_probs[0]) - sum(log_probs[1]));
        let slope = (-BETA / (1.0 + margin.exp())) as f32;
        let slopes = vec![
            vec![slope; log_probs[0].len()],
            vec![-slope; log_probs[1].len()],
            vec![0.0; log_probs[2].len()],
        ];
        Loss { value: (-margin).exp().ln_1p(), slopes }
    }

    fn adapted() -> Llama {
        let mut llama = model(config(), None);
        llama.attach_lora(&lora_config(0.0), random_adapter(&llama)).unwrap();
        llama
    }

    fn a_preference_loss_needs_no_engine() {
        let pair = [examples(5)];
        let log_probability = |llama: &Llama, at: usize| -llama.nll(&pair[0][at..=at]).unwrap().sum as f32;
        let loss = |llama: &Llama| {
            let [chosen, rejected] = [0, 1].map(|at| [log_probability(llama, at)]);
            preference(&[&chosen, &rejected, &[]]).value
        };
        let (llama, before) = (adapted(), parameters(&adapted()));
        let start = loss(&llama);
        // With epsilon far above the gradients, Adam's first step is lr · g / epsilon.
        let adamw = AdamWConfig { epsilon: 1e6, ..AdamWConfig::default() };
        let mut run = Finetune::new(llama, adamw, 1).unwrap();
        let report = run.step_by(&pair, 1e4, preference).unwrap();
        assert!((report.loss - start).abs() < 1e-4 * start, "{} {start}", report.loss);
        let llama = run.into_model();
        let moved: f64 = parameters(&llama).iter().zip(&before).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let rate = 1e4 / 1e6;
        assert!((moved.sqrt() / rate / report.grad_norm - 1.0).abs() < 1e-2);
        // First order: the loss falls by rate · |g|².
        let (fell, predicted) = (start - loss(&llama), rate * report.grad_norm.powi(2));
        assert!((fell / predicted - 1.0).abs() < 0.1, "fell {fell}, predicted {predicted}");
    }

    fn a_loss_without_a_slope_for_each_token_is_refused() {
        let mut run = Finetune::new(adapted(), AdamWConfig::default(), 1).unwrap();
        let before = parameters(run.model());
        let error = run.step_by(&[examples(5)], 1e-2, |_| Loss { value: 1.0, slopes: vec![] }).unwrap_err();
        assert!(error.to_string().contains("slope"), "{error}");
        assert_eq!(parameters(run.model()), before);
    }
}
