//! The head and the cross-entropy in one, a chunk of rows at a time, so that `[tokens, vocab]`
//! logits never exist whole.

use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use crate::Projection;
use crate::projection::host_values;

/// Rows of logits that exist at once.
const CHUNK: usize = 256;

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
    let device = h.device();
    let mut nll = Nll { sum: 0.0, tokens: targets.len() };
    let mut gradients = Vec::new();
    for (index, targets) in targets.chunks(CHUNK).enumerate() {
        let h = h.clone().narrow(0, index * CHUNK, targets.len()); // [chunk, hidden]
        let ids: Vec<i64> = targets.iter().map(|id| i64::from(*id)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [targets.len(), 1]), &device);
        let log_p = log_softmax(head.forward(h), 1); // [chunk, vocab]
        let scored = host_values(log_p.clone().gather(1, ids.clone())); // [chunk, 1]
        nll.sum -= scored.iter().map(|log_p| f64::from(*log_p)).sum::<f64>();
        if gradient {
            // d(−log p_target)/d logits = p − onehot(target)
            let minus_one = Tensor::full([targets.len(), 1], -1.0, &device);
            let d_logits = log_p.exp().scatter(1, ids, minus_one, burn::tensor::IndexingUpdateOp::Add);
            gradients.push(head.backward_input(d_logits)); // [chunk, hidden]
        }
    }
    (nll, (!gradients.is_empty()).then(|| Tensor::cat(gradients, 0)))
}
