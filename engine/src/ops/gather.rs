//! Rows of a tensor by their numbers.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// The rows of `x` named by `rows`; all of them without a copy.
pub(crate) fn select_rows(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let [tokens, _] = x.dims();
    if rows.len() == tokens && rows.iter().enumerate().all(|(i, row)| i == *row) {
        return x;
    }
    let device = x.device();
    x.select(0, index_tensor(rows.iter().map(|row| *row as u32), &device))
}

pub(crate) fn index_tensor(ids: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i32> = ids.map(|id| id as i32).collect();
    let len = ids.len();
    Tensor::from_data(TensorData::new(ids, [len]), (device, DType::I32))
}
