//! The head and the log-softmax in one, a chunk of rows at a time, so that `[tokens, vocab]` logits never exist
//! whole.

use burn::tensor::Tensor;

use crate::linear::projection::Projection;
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::host_values::host_values;
use crate::span::span;

/// Rows of logits that exist at once.
const CHUNK: usize = 128;

/// A summed negative log-likelihood.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Nll {
    /// Sum over the scored tokens, in nats.
    pub sum: f64,
    /// Number of scored tokens.
    pub tokens: usize,
}

impl Nll {
    /// Mean per token; NaN if nothing was scored.
    pub fn mean(&self) -> f64 {
        self.sum / self.tokens as f64
    }

    /// `exp(mean)`.
    pub fn perplexity(&self) -> f64 {
        self.mean().exp()
    }
}

/// `log softmax(h · Wᵀ)[target]` of every row of `h`, and with `gradient` the derivative of its negative by that row.
///
/// # Shapes
/// - `h`: `[rows, hidden]`
/// - `targets`: `[rows]`
/// - the gradient: `[rows, hidden]`
pub(crate) fn log_probabilities(
    h: Tensor<2>,
    targets: &[u32],
    head: &Projection,
    gradient: bool,
) -> (Vec<f32>, Option<Tensor<2>>) {
    span!("head_and_loss", rows = targets.len());
    let mut log_probs = Vec::with_capacity(targets.len());
    let mut gradients = Vec::new();
    for (index, targets) in targets.chunks(CHUNK).enumerate() {
        let h = h.clone().narrow(0, index * CHUNK, targets.len()); // [chunk, hidden]
        let (nll, d_logits) = cross_entropy(head.forward(h), targets); // [chunk], [chunk, vocab]
        log_probs.extend(host_values(nll).iter().map(|nll| -nll));
        if gradient {
            gradients.push(head.backward_input(d_logits)); // [chunk, hidden]
        }
    }
    (log_probs, (!gradients.is_empty()).then(|| Tensor::cat(gradients, 0)))
}
