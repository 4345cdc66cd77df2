//! AdamW, as PyTorch computes it.

use burn::tensor::Tensor;

use crate::quant::DynamicMap;

#[cfg(test)]
mod conformance;
mod moment;

pub(crate) use moment::Moment;

/// Hyper-parameters of AdamW, apart from the learning rate, which every step is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm.
    pub max_grad_norm: Option<f64>,
    /// Keep the moments of parameters of 4096 numbers or more in 8 bits.
    ///
    /// Source: Dettmers et al. 2022, arXiv:2110.02861; as bitsandbytes' `AdamW8bit`.
    pub eight_bit: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: None,
            eight_bit: false,
        }
    }
}

/// The optimizer: two moments per parameter. A step computes in 32 bits however they are kept.
///
/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101; bias correction and the place of epsilon as
/// in `torch.optim.AdamW`.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    /// The first and the second, where there has been a gradient.
    moments: Vec<Option<[Moment; 2]>>,
    steps: i32,
}

impl AdamW {
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: Vec::new(), steps: 0 }
    }

    /// The moments of each parameter, the first and the second, if it has had a gradient.
    pub fn moments(&self) -> &[Option<[Moment; 2]>] {
        &self.moments
    }

    /// Goes on after step `steps` with the moments it had.
    pub fn restore(&mut self, steps: u64, moments: Vec<Option<[Moment; 2]>>) {
        // Beyond i32::MAX steps the corrections are 1.
        self.steps = i32::try_from(steps).unwrap_or(i32::MAX);
        self.moments = moments;
    }

    /// Updates `parameters` in place; one without a gradient stays as it is.
    pub fn update(
        &mut self,
        parameters: Vec<&mut Tensor<2>>,
        gradients: Vec<Option<Tensor<2>>>,
        grad_norm: f64,
        lr: f64,
    ) {
        let AdamWConfig { beta_1, beta_2, epsilon, weight_decay, max_grad_norm, eight_bit } = self.config;
        self.steps += 1;
        let correction_1 = 1.0 - beta_1.powi(self.steps);
        let correction_2 = (1.0 - beta_2.powi(self.steps)).sqrt();
        // The small constant is the one of torch.nn.utils.clip_grad_norm_.
        let clip = max_grad_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        self.moments.resize(parameters.len(), None);
        for ((parameter, gradient), moments) in parameters.into_iter().zip(gradients).zip(&mut self.moments) {
            let Some(gradient) = gradient else { continue };
            let gradient = gradient.mul_scalar(clip);
            let [first, second] = match moments.take() {
                Some(moments) => moments.map(|moment| moment.values()),
                None => [0, 1].map(|_| Tensor::zeros(parameter.dims(), &parameter.device())),
            };
            let first = first.mul_scalar(beta_1).add(gradient.clone().mul_scalar(1.0 - beta_1));
            let second = second.mul_scalar(beta_2).add(gradient.square().mul_scalar(1.0 - beta_2));
            let denominator = second.clone().sqrt().div_scalar(correction_2).add_scalar(epsilon);
            let update = first.clone().div(denominator).mul_scalar(lr / correction_1);
            *parameter = parameter.clone().mul_scalar(1.0 - lr * weight_decay).sub(update);
            *moments = Some([
                Moment::new(first, DynamicMap::Signed, eight_bit),
                Moment::new(second, DynamicMap::Unsigned, eight_bit),
            ]);
        }
    }
}
