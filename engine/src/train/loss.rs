//! The head and the cross-entropy in one, a chunk of rows at a time, so that `[tokens, vocab]`
//! logits never exist whole.

use burn::tensor::Tensor;

use crate::Projection;
use crate::ops;
use crate::ops::host_values::host_values;

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

/// `Σ −log softmax(h · Wᵀ)[target]` over the rows of `h`, and with `gradient` its derivative by `h`
/// (of the sum, not the mean).
///
/// # Shapes
/// - `h`: `[rows, hidden]`
/// - `targets`: `[rows]`
/// - the gradient: `[rows, hidden]`
pub(crate) fn cross_entropy(
    h: Tensor<2>,
    targets: &[u32],
    head: &Projection,
    gradient: bool,
) -> (Nll, Option<Tensor<2>>) {
    let mut nll = Nll { sum: 0.0, tokens: targets.len() };
    let mut gradients = Vec::new();
    for (index, targets) in targets.chunks(CHUNK).enumerate() {
        let h = h.clone().narrow(0, index * CHUNK, targets.len()); // [chunk, hidden]
        let (scored, d_logits) = ops::cross_entropy(head.forward(h), targets); // [chunk], [chunk, vocab]
        let scored = host_values(scored);
        nll.sum += scored.iter().map(|nll| f64::from(*nll)).sum::<f64>();
        if gradient {
            gradients.push(head.backward_input(d_logits)); // [chunk, hidden]
        }
    }
    (nll, (!gradients.is_empty()).then(|| Tensor::cat(gradients, 0)))
}
