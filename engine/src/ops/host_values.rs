//! Reading tensors back.

use burn::tensor::Tensor;

/// A float tensor's values in row-major order.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Weights are f32 by construction; converting f32 to f32 cannot fail.
    tensor.into_data().convert::<f32>().try_into_vec().expect("f32 data")
}
