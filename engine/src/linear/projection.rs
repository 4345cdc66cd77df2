//! A projection is a slot: dense or quantized, with or without an adapter. Attention and MLP do not
//! know which.

use burn::tensor::Tensor;

use crate::adapter::AdapterId;
use crate::adapter::lora::Lora;
use crate::adapter::lora::{LoraConfig, LoraWeights};
use crate::adapter::row_adapters::RowAdapters;
use crate::error::EngineError;
use crate::linear::quantized_matrix::QuantizedMatrix;
use crate::linear::weight::{Weight, WeightSource};
use crate::ops::dense;
use crate::ops::host_values::host_values;
use crate::ops::lora::{self, LoraPart};
use crate::ops::quantized::Arithmetic;
use crate::quant::Format;

/// `y = x · Wᵀ (+ adapter) (+ bias)`.
#[derive(Debug, Clone)]
pub struct Projection {
    weight: Weight,          // [out, in]
    bias: Option<Tensor<1>>, // [out]
    adapters: Vec<(AdapterId, Lora)>,
}

impl Projection {
    /// A projection by `weight [out, in]`.
    pub fn new(weight: Weight) -> Self {
        Self { weight, bias: None, adapters: Vec::new() }
    }

    /// The same with a bias `[out]`, in 32 bits, which is added to every row as it is, whatever becomes of
    /// the weight and whatever adapter there is.
    ///
    /// # Panics
    /// If it is not of the weight's rows.
    pub fn with_bias(self, bias: Tensor<1>) -> Self {
        assert_eq!(bias.dims(), [self.weight.shape()[0]], "a bias for other outputs");
        Self { bias: Some(bias), ..self }
    }

    /// Reads the projection `module`, as `model.layers.0.self_attn.q_proj`, of `shape` `[out, in]`.
    pub(crate) fn load<S: WeightSource>(
        source: &mut S,
        module: &str,
        shape: [usize; 2],
        has_bias: bool,
    ) -> Result<Self, S::Error> {
        let projection = Self::new(source.matrix(&format!("{module}.weight"), shape)?);
        Ok(match has_bias {
            true => projection.with_bias(source.vector(&format!("{module}.bias"), shape[0])?),
            false => projection,
        })
    }

    /// The frozen weight `[out, in]`.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The frozen bias `[out]`.
    pub fn bias(&self) -> Option<&Tensor<1>> {
        self.bias.as_ref()
    }

    /// `x [tokens, in]` → `[tokens, out]`, without any adapter.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [y] = Self::frozen_each([self], &x);
        self.biased(y)
    }

    /// `x [tokens, in]` → `[tokens, out]`, each row under its adapter.
    pub(crate) fn forward_with(&self, x: Tensor<2>, adapters: &RowAdapters) -> Tensor<2> {
        let [y] = Self::forward_each([self], x, adapters);
        y
    }

    /// The outputs of several projections of the same `x [tokens, in]`: `[tokens, out]` each.
    pub(crate) fn forward_each<const N: usize>(
        projections: [&Self; N],
        x: Tensor<2>,
        adapters: &RowAdapters,
    ) -> [Tensor<2>; N] {
        let mut frozen = Self::frozen_each(projections, &x).into_iter();
        projections.map(|projection| {
            let y = frozen.next().expect("one for each");
            projection.biased(projection.adapted(y, &x, adapters))
        })
    }

    /// `y + bias`. It comes last: DoRA's magnitudes scale what W and the adapter make, and not the bias, as
    /// in PEFT.
    fn biased(&self, y: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            Some(bias) => y.add(bias.clone().unsqueeze()),
            None => y,
        }
    }

    /// `y = x · Wᵀ` with what the adapters make of their rows.
    fn adapted(&self, y: Tensor<2>, x: &Tensor<2>, adapters: &RowAdapters) -> Tensor<2> {
        let loras = adapters.groups().filter_map(|(id, rows)| {
            let (_, lora) = self.adapters.iter().find(|(other, _)| *other == id)?;
            Some((lora, rows.cloned()))
        });
        let loras: Vec<(&Lora, _)> = loras.collect();
        if let [(lora, None)] = &loras[..]
            && let Some(dora) = &lora.dora
            && let Some(dropout) = adapters.dropout.filter(|dropout| dropout.probability > 0.0)
        {
            // As PEFT: what the magnitudes change, they change of the dropped input's outputs.
            let [base] = Self::frozen_each([self], &lora.dropped(x.clone(), dropout));
            let part = LoraPart { factor: None, ..lora.part(None, Some(dropout)) };
            let directed = lora::lora(base.clone(), x.clone(), vec![part]);
            return y.add(directed.mul(dora.factor())).sub(base);
        }
        let parts = loras.into_iter().map(|(lora, rows)| lora.part(rows, adapters.dropout));
        lora::lora(y, x.clone(), parts.collect())
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
            Weight::Dense(weight) => dense::matmul(x.clone(), weight.clone()),
            Weight::Quantized(matrix) => matrix.matmul(x.clone()),
        })
    }

    /// Puts an adapter beside those that are there; `index` distinguishes the projections of a model.
    pub(crate) fn attach(&mut self, id: AdapterId, weights: &LoraWeights, config: &LoraConfig, index: u64) {
        self.adapters.push((id, Lora::new(weights, config, index, || self.weight.to_dense())));
    }

    /// Removes an adapter.
    pub(crate) fn detach(&mut self, id: AdapterId) {
        self.adapters.retain(|(other, _)| *other != id);
    }

    /// The adapter that was attached first: the one that learns, is saved and merged.
    pub(crate) fn lora(&self) -> Option<&Lora> {
        self.adapters.first().map(|(_, lora)| lora)
    }

    /// As [`Projection::lora`].
    pub(crate) fn lora_mut(&mut self) -> Option<&mut Lora> {
        self.adapters.first_mut().map(|(_, lora)| lora)
    }

    /// Recomputes DoRA's row norms after A and B, or the weight, have changed.
    pub(crate) fn renew_norms(&mut self) {
        for (_, lora) in &mut self.adapters {
            lora.renew_norms(|| self.weight.to_dense());
        }
    }

    /// `dx = dy · W` of the frozen weight: `dy [tokens, out]` → `[tokens, in]`.
    pub(crate) fn backward_input(&self, dy: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(weight) => dense::matmul_transposed(dy, weight.clone()),
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

    /// Adds the update of [`Projection::lora`] to the weight, which must be dense, and drops all adapters.
    pub(crate) fn merge(&mut self) -> Result<(), EngineError> {
        let Some(lora) = self.lora() else { return Ok(()) };
        let Weight::Dense(weight) = &self.weight else {
            return Err(EngineError::Adapter(
                "merging into a quantized weight would lose it: dequantize first".into(),
            ));
        };
        self.weight = Weight::Dense(lora.merged(weight.clone()));
        self.adapters.clear();
        Ok(())
    }

    /// Replaces a quantized weight by the f32 matrix it stands for.
    pub(crate) fn dequantize(&mut self) {
        if let Weight::Quantized(_) = &self.weight {
            // Row by row, as products read it: a quantized matrix turns to floats column by column.
            let dense = self.weight.to_dense();
            let device = dense.device();
            self.weight = Weight::Dense(Tensor::from_data(dense.into_data(), &device));
        }
    }
}
