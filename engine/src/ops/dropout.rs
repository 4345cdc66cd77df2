//! Dropout whose mask is never stored: a pure function of a key and the place, made anew in the backward
//! pass, when a layer is computed again, and when a run is resumed.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::fused::FusedOps;

/// The factors of dropout: 0 for a dropped element, `1 / (1 − p)` for another, which keeps the mean.
///
/// It is computed with 32-bit integers, which every device has.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    /// Of 65536: how many are dropped.
    threshold: u16,
    key: [u32; 2],
}

impl Mask {
    /// Drops elements with `probability`, from 0 to below 1.
    pub fn new(probability: f32, key: u64) -> Self {
        let threshold = (f64::from(probability) * 65536.0).round() as u16;
        Self { threshold, key: [key as u32, (key >> 32) as u32] }
    }

    /// The factors of the elements `4 · block ..`, in row-major order.
    pub fn factors(self, block: usize) -> [f32; 4] {
        let keep = self.keep();
        let [low, high] = self.key;
        // Two draws of 16 bits for each pair of elements.
        let bits = [0, 1].map(|pair| scrambled(scrambled((2 * block + pair) as u32 ^ low) ^ high));
        std::array::from_fn(
            |i| {
                if (bits[i / 2] >> (16 * (i % 2))) as u16 >= self.threshold { keep } else { 0.0 }
            },
        )
    }

    /// The factor of what is kept.
    pub(crate) fn keep(self) -> f32 {
        1.0 / (1.0 - f32::from(self.threshold) / 65536.0)
    }

    /// What a kernel computes the factors from, as [`Mask::factors`] does.
    #[cfg(feature = "cube")]
    pub(crate) fn parts(self) -> (u16, [u32; 2]) {
        (self.threshold, self.key)
    }
}

/// A permutation of 32-bit numbers that looks random.
///
/// Source: Wellons, "Prospecting for Hash Functions" (lowbias32).
#[inline(always)]
fn scrambled(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
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
