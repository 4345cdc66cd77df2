//! Dropout whose mask is never stored: a pure function of a key and the place, made anew in the backward
//! pass, when a layer is computed again, and when a run is resumed.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;
use crate::rng::mix;

/// The factors of dropout: 0 for a dropped element, `1 / (1 − p)` for another, which keeps the mean.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    /// Of 65536: how many are dropped.
    threshold: u16,
    key: u64,
}

impl Mask {
    /// Drops elements with `probability`, from 0 to below 1.
    pub fn new(probability: f32, key: u64) -> Self {
        Self { threshold: (f64::from(probability) * 65536.0).round() as u16, key }
    }

    /// The factors of the elements `4 · block ..`, in row-major order.
    pub fn factors(self, block: usize) -> [f32; 4] {
        let keep = 1.0 / (1.0 - f32::from(self.threshold) / 65536.0);
        let bits = mix(self.key, block as u64); // four draws of 16 bits
        std::array::from_fn(|i| if (bits >> (16 * i)) as u16 >= self.threshold { keep } else { 0.0 })
    }
}

#[cfg(feature = "flex")]
impl Mask {
    /// Multiplies `values`, the elements from number `first` on.
    pub(crate) fn apply(self, first: usize, values: &mut [f32]) {
        let head = values.len().min(first.next_multiple_of(4) - first);
        let (head, rest) = values.split_at_mut(head);
        let times = |values: &mut [f32], factors: &[f32]| {
            values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        };
        times(head, &self.factors(first / 4)[first % 4..]);
        for (index, values) in rest.chunks_mut(4).enumerate() {
            times(values, &self.factors(first.div_ceil(4) + index));
        }
    }
}

/// `x ∘ mask`
///
/// # Shapes
/// - `x`, and what is returned: `[tokens, channels]`
///
/// Source: Srivastava et al. 2014, JMLR 15, scaled while training.
pub(crate) fn dropout(x: Tensor<2>, mask: Mask) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::dropout(x.into_dispatch(), mask))
}
