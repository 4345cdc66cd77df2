//! The kernels on flex tensors: memory in, memory out, threads over tiles.

use burn::backend::DType;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::activations::Activations;
use super::{TileKernel, scalar};
use crate::quant::decode::dequantize_row;
use crate::quant::{Layout, TILE};

fn tile_kernel() -> TileKernel {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = super::avx512::integer_tile() {
        return kernel;
    }
    scalar::integer_tile
}

/// `y = x · Wᵀ` with integer activations: `x [tokens, cols]` → `[tokens, rows]`.
pub(crate) fn integer_matmul(x: FlexTensor, words: &FlexTensor, layout: Layout) -> FlexTensor {
    let x = x.to_contiguous();
    let (words, kernel) = (words.storage::<u32>(), tile_kernel());
    let rows: Vec<Activations> = match x.storage::<f32>() {
        values if values.len() > layout.cols => {
            values.par_chunks_exact(layout.cols).map(Activations::quantize).collect()
        }
        values => values.chunks_exact(layout.cols).map(Activations::quantize).collect(),
    };
    let tokens = rows.len();

    // [tiles][tokens][16]: every tile writes memory of its own.
    let mut tiled = vec![0f32; layout.tiles() * tokens * TILE];
    if tokens > 0 {
        tiled
            .par_chunks_exact_mut(tokens * TILE)
            .with_min_len(4)
            .enumerate()
            .for_each(|(tile, out)| kernel(layout, words, tile, &rows, out));
    }
    if tokens == 1 {
        tiled.truncate(layout.rows);
        return float(tiled, [1, layout.rows]);
    }
    let mut y = vec![0f32; tokens * layout.rows];
    if tokens > 0 {
        y.par_chunks_exact_mut(layout.rows).enumerate().for_each(|(token, y)| {
            for (tile, y) in y.chunks_mut(TILE).enumerate() {
                let start = (tile * tokens + token) * TILE;
                y.copy_from_slice(&tiled[start..start + y.len()]);
            }
        });
    }
    float(y, [tokens, layout.rows])
}

/// `W [rows, cols]` in f32. Where the machine can, it is written column by column, 16 rows at a time
/// as they lie in the packed words, and returned as a transposed view: products read either.
pub(crate) fn dequantize(words: &FlexTensor, layout: Layout) -> FlexTensor {
    let words = words.storage::<u32>();
    #[cfg(target_arch = "x86_64")]
    if let Some(columns) = super::avx512::dequantize_columns(layout, words) {
        return float(columns, [layout.cols, layout.rows]).transpose(0, 1);
    }
    let mut values = vec![0f32; layout.rows * layout.cols];
    values
        .par_chunks_exact_mut(layout.cols)
        .with_min_len(16)
        .enumerate()
        .for_each(|(row, out)| dequantize_row(layout, words, row, out));
    float(values, [layout.rows, layout.cols])
}

/// The rows `ids [n]` in f32: `[n, cols]`.
pub(crate) fn dequantize_rows(words: &FlexTensor, ids: &FlexTensor, layout: Layout) -> FlexTensor {
    let (words, ids) = (words.storage::<u32>(), ids.to_contiguous());
    let ids = ids.storage::<i32>();
    let mut values = vec![0f32; ids.len() * layout.cols];
    for (id, out) in ids.iter().zip(values.chunks_exact_mut(layout.cols)) {
        assert!((0..layout.rows as i32).contains(id), "row {id} of a matrix of {} rows", layout.rows);
        dequantize_row(layout, words, *id as usize, out);
    }
    float(values, [ids.len(), layout.cols])
}

fn float(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    let tensor = FlexTensor::from_data(TensorData::new(values, shape));
    debug_assert_eq!(tensor.dtype(), DType::F32);
    tensor
}
