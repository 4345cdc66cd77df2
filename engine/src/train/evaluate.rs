//! The likelihood of examples under a model, without learning.

use super::example::{CausalAttention, Packed};
use super::loss::{Nll, log_probabilities};
use crate::adapter::row_adapters::RowAdapters;
use crate::error::EngineError;
use crate::model::forward_context::ForwardContext;
use crate::model::llama::Llama;
use crate::train::example::Example;

impl Llama {
    /// The summed negative log-likelihood of the learned tokens, as it is without dropout.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn nll(&self, examples: &[Example]) -> Result<Nll, EngineError> {
        let packed = Packed::new(examples);
        self.check_tokens(&packed.tokens)?;
        self.check_positions(packed.spans.iter().map(ExactSizeIterator::len))?;
        if packed.targets.is_empty() {
            return Ok(Nll::default());
        }
        let rotation = self.rope().at(&packed.positions, self.device());
        let mut attend = CausalAttention::new(&packed.spans, self.config().sliding_window, self.device());
        let adapters = RowAdapters::all(packed.tokens.len(), self.adapter(), self.device());
        let mut context = ForwardContext { rotation: &rotation, attend: &mut attend, adapters };
        let x = self.embed(&packed.tokens); // [tokens, hidden]
        let h = self.norm.forward(self.decode(x, &mut context, &packed.predictors)); // [targets, hidden]
        let (log_probs, _) = log_probabilities(h, &packed.targets, &self.lm_head, false);
        let sum = -log_probs.iter().map(|log_p| f64::from(*log_p)).sum::<f64>();
        Ok(Nll { sum, tokens: log_probs.len() })
    }
}
