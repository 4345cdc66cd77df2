//! The two layers that BERT is made of, and how they are read from a checkpoint.

use burn::tensor::{Tensor, module};
use engine::{EngineError, QuantizedMatrix, Weight, WeightSource};

/// `y = x · weight + bias`
///
/// # Shapes
/// - `x`: `[tokens, in]`
/// - returns `[tokens, out]`
#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: LinearWeight,
    bias: Tensor<1>,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a model has tens of them")]
enum LinearWeight {
    /// `[in, out]`, the transpose of the checkpoint's.
    Dense(Tensor<2>),
    /// `[out, in]`, in blocks.
    Quantized(QuantizedMatrix),
}

impl Linear {
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [y] = Self::forward_each([self], x);
        y
    }

    /// What several make of the same `x`. Quantized ones share its rounding to integers.
    pub fn forward_each<const N: usize>(layers: [&Self; N], x: Tensor<2>) -> [Tensor<2>; N] {
        let quantized = layers.map(|layer| match &layer.weight {
            LinearWeight::Quantized(matrix) => Some(matrix),
            LinearWeight::Dense(_) => None,
        });
        let all: Vec<&QuantizedMatrix> = quantized.into_iter().flatten().collect();
        if let Ok(matrices) = <[&QuantizedMatrix; N]>::try_from(all) {
            let mut biases = layers.into_iter().map(|layer| &layer.bias);
            return QuantizedMatrix::matmul_each(matrices, x).map(|y| match biases.next() {
                Some(bias) => y + bias.clone().unsqueeze(),
                None => y,
            });
        }
        layers.map(|layer| match &layer.weight {
            LinearWeight::Dense(weight) => {
                module::linear(x.clone(), weight.clone(), Some(layer.bias.clone()))
            }
            LinearWeight::Quantized(matrix) => matrix.matmul(x.clone()) + layer.bias.clone().unsqueeze(),
        })
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

/// Name of the word embeddings.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// The name of the word embeddings in a checkpoint, of which `contains` tells what it has.
pub(crate) fn name_of_words(contains: impl Fn(&str) -> bool) -> String {
    format!("{}{WORDS}", prefix(contains))
}

/// Checkpoints of `BertModel` have no prefix; those of a model with a head on top have its name.
fn prefix(contains: impl Fn(&str) -> bool) -> &'static str {
    ["bert.", "roberta."].into_iter().find(|prefix| contains(&format!("{prefix}{WORDS}"))).unwrap_or_default()
}

/// A checkpoint under BERT's names.
pub(super) struct BertWeights<'a, S> {
    source: &'a mut S,
    prefix: &'static str,
}

impl<'a, S: WeightSource> BertWeights<'a, S> {
    pub fn new(source: &'a mut S) -> Self {
        let prefix = prefix(|name| source.contains(name));
        BertWeights { source, prefix }
    }

    /// A matrix whose rows are looked up.
    pub fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, S::Error> {
        let what = format!("{}{name}", self.prefix);
        match self.source.table(&what, shape)? {
            Weight::Dense(tensor) => Ok(tensor),
            Weight::Quantized(_) => {
                let reason = "is a table in blocks; f32, f16 or bf16 expected".into();
                Err(EngineError::Shape { what, reason }.into())
            }
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<1>, S::Error> {
        self.source.vector(&format!("{}{name}", self.prefix), len)
    }

    pub fn linear(&mut self, name: &str, [out, input]: [usize; 2]) -> Result<Linear, S::Error> {
        let what = format!("{}{name}.weight", self.prefix);
        let weight = match self.source.matrix(&what, [out, input])? {
            Weight::Dense(weight) => LinearWeight::Dense(weight.transpose()), // [in, out]
            Weight::Quantized(matrix) => LinearWeight::Quantized(matrix),
        };
        Ok(Linear { weight, bias: self.vector(&format!("{name}.bias"), out)? })
    }

    pub fn layer_norm(&mut self, name: &str, len: usize, eps: f64) -> Result<LayerNorm, S::Error> {
        Ok(LayerNorm {
            weight: self.vector(&format!("{name}.weight"), len)?,
            bias: self.vector(&format!("{name}.bias"), len)?,
            eps,
        })
    }
}
