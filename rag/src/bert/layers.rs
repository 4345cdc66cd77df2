//! The two layers that BERT is made of, and how they are read from a checkpoint.

use burn::tensor::{Tensor, module};
use engine::{EngineError, Weight, WeightSource};

/// `y = x · weight + bias`
///
/// # Shapes
/// - `x`: `[tokens, in]`
/// - `weight`: `[in, out]`, the transpose of the checkpoint's
/// - returns `[tokens, out]`
#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        module::linear(x, self.weight.clone(), Some(self.bias.clone()))
    }
}

/// `y = (x - mean(x)) / sqrt(var(x) + eps) · weight + bias`, over the last axis.
#[derive(Debug, Clone)]
pub(super) struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
}

impl LayerNorm {
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        module::layer_norm(x, self.weight.clone(), Some(self.bias.clone()), self.eps)
    }
}

/// A checkpoint under BERT's names.
pub(super) struct BertWeights<'a, S> {
    source: &'a mut S,
    prefix: &'static str,
}

impl<'a, S: WeightSource> BertWeights<'a, S> {
    /// Checkpoints of `BertModel` have no prefix; those of a model with a head on top have `bert.`.
    pub fn new(source: &'a mut S) -> Self {
        let prefix = if source.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
        BertWeights { source, prefix }
    }

    pub fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, S::Error> {
        let what = format!("{}{name}", self.prefix);
        match self.source.matrix(&what, shape)? {
            Weight::Dense(tensor) => Ok(tensor),
            Weight::Quantized(_) => {
                let reason = "is quantized; BERT needs f32, f16 or bf16".into();
                Err(EngineError::Shape { what, reason }.into())
            }
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, S::Error> {
        self.source.vector(&format!("{}{name}", self.prefix), len)
    }

    pub fn linear(&mut self, name: &str, [out, input]: [usize; 2]) -> Result<Linear, S::Error> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), [out, input])?.transpose(), // [in, out]
            bias: self.vector(&format!("{name}.bias"), out)?,
        })
    }

    pub fn layer_norm(&mut self, name: &str, len: usize, eps: f64) -> Result<LayerNorm, S::Error> {
        Ok(LayerNorm {
            weight: self.vector(&format!("{name}.weight"), len)?,
            bias: self.vector(&format!("{name}.bias"), len)?,
            eps,
        })
    }
}
