//! A projection is a slot: dense or quantized, with or without an adapter. Attention and MLP do not
//! know which.

use burn::tensor::Tensor;

use crate::lora::{Dropout, Lora};
use crate::ops::quantized::Arithmetic;
use crate::quant::{Format, QuantizedMatrix};
use crate::{EngineError, LoraConfig, LoraWeights, Weight};

/// `y = x · Wᵀ (+ adapter)`.
#[derive(Debug, Clone)]
pub struct Projection {
    weight: Weight, // [out, in]
    pub(crate) lora: Option<Lora>,
}

impl Projection {
    /// A projection by `weight [out, in]`.
    pub fn new(weight: Weight) -> Self {
        Self { weight, lora: None }
    }

    /// The frozen weight `[out, in]`.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// `x [tokens, in]` → `[tokens, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.forward_with(x, None)
    }

    pub(crate) fn forward_with(&self, x: Tensor<2>, dropout: Option<Dropout>) -> Tensor<2> {
        let [y] = Self::forward_each([self], x, dropout);
        y
    }

    /// What each of the projections makes of the same `x [tokens, in]`: `[tokens, out]` each.
    pub(crate) fn forward_each<const N: usize>(
        projections: [&Self; N],
        x: Tensor<2>,
        dropout: Option<Dropout>,
    ) -> [Tensor<2>; N] {
        let mut frozen = Self::frozen_each(projections, &x).into_iter();
        projections.map(|projection| {
            let y = frozen.next().expect("one for each");
            projection.adapted(y, &x, dropout)
        })
    }

    /// `y = x · Wᵀ` with what the adapter adds to it.
    fn adapted(&self, y: Tensor<2>, x: &Tensor<2>, dropout: Option<Dropout>) -> Tensor<2> {
        let Some(lora) = &self.lora else { return y };
        let Some(dora) = &lora.dora else { return y.add(lora.forward(x.clone(), dropout)) };
        let factor = dora.factor(); // [1, out]
        match dropout.filter(|dropout| dropout.probability > 0.0) {
            None => y.add(lora.forward(x.clone(), None)).mul(factor),
            // As PEFT: what the magnitudes change, they change of the dropped input's outputs.
            Some(dropout) => {
                let dropped = lora.dropped(x.clone(), dropout);
                let [changed] = Self::frozen_each([self], &dropped);
                let changed = changed.mul(factor.clone().sub_scalar(1.0));
                y.add(changed).add(lora.forward(dropped, None).mul(factor))
            }
        }
    }

    /// `x · Wᵀ` of the frozen weights, quantized ones together.
    fn frozen_each<const N: usize>(projections: [&Self; N], x: &Tensor<2>) -> [Tensor<2>; N] {
        let quantized = projections.map(|projection| match &projection.weight {
            Weight::Quantized(matrix) => Some(matrix),
            Weight::Dense(_) => None,
        });
        if quantized.iter().all(Option::is_some) {
            return QuantizedMatrix::matmul_each(quantized.map(|matrix| matrix.expect("all are")), x.clone());
        }
        projections.map(|projection| match &projection.weight {
            Weight::Dense(weight) => x.clone().matmul(weight.clone().transpose()),
            Weight::Quantized(matrix) => matrix.matmul(x.clone()),
        })
    }

    /// Puts the adapter number `index` on the projection.
    pub(crate) fn attach(&mut self, weights: &LoraWeights, config: &LoraConfig, index: u64) {
        self.lora = Some(Lora::new(weights, config, index, || self.weight.to_dense()));
    }

    /// Has DoRA's norms follow A and B, which have learned.
    pub(crate) fn renew_norms(&mut self) {
        if let Some(lora) = &mut self.lora {
            lora.renew_norms(|| self.weight.to_dense());
        }
    }

    /// `dx = dy · W` of the frozen weight: `dy [tokens, out]` → `[tokens, in]`.
    pub(crate) fn backward_input(&self, dy: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(weight) => dy.matmul(weight.clone()),
            Weight::Quantized(matrix) => matrix.matmul_transposed(dy),
        }
    }

    pub(crate) fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        if let Weight::Quantized(matrix) = &self.weight {
            self.weight = Weight::Quantized(matrix.clone().with_arithmetic(arithmetic));
        }
    }

    /// Replaces a dense weight by its quantized form; a quantized one stays as it is.
    pub(crate) fn quantize(&mut self, format: Format) -> Result<(), EngineError> {
        if let Weight::Dense(weight) = &self.weight {
            let (shape, device) = (weight.dims(), weight.device());
            let values = host_values(weight.clone());
            self.weight = Weight::Quantized(QuantizedMatrix::quantize(format, shape, &values, &device)?);
            self.renew_norms();
        }
        Ok(())
    }

    /// Adds the adapter's update to the weight, which must be dense, and drops the adapter.
    pub(crate) fn merge(&mut self) -> Result<(), EngineError> {
        let Some(lora) = self.lora.take() else { return Ok(()) };
        match &self.weight {
            Weight::Dense(weight) => {
                self.weight = Weight::Dense(lora.merged(weight.clone()));
                Ok(())
            }
            Weight::Quantized(_) => {
                self.lora = Some(lora);
                Err(EngineError::Adapter(
                    "merging into a quantized weight would lose it: dequantize first".into(),
                ))
            }
        }
    }

    /// Replaces a quantized weight by the f32 matrix it stands for.
    pub(crate) fn dequantize(&mut self) {
        if let Weight::Quantized(_) = &self.weight {
            self.weight = Weight::Dense(self.weight.to_dense());
        }
    }
}

/// A float tensor's values in row-major order.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Weights are f32 by construction; converting f32 to f32 cannot fail.
    tensor.into_data().convert::<f32>().try_into_vec().expect("f32 data")
}
