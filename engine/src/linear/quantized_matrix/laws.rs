//! Products with packed matrices on every backend, against the blocks' values and burn's own products.

use burn::tensor::{Tensor, TensorData};

use crate::every_backend::{device, on_every_backend};
use crate::linear::quantized_matrix::QuantizedMatrix;
use crate::ops::dense;
use crate::ops::host_values::host_values;
use crate::ops::quantized::Arithmetic;
use crate::quant::{Format, Nf4, dequantize, quantize};

on_every_backend!(
    packed_values_are_the_blocks_values_bit_for_bit,
    products_are_those_of_the_values,
    integer_products_are_close,
    the_gradient_by_x_is_dy_times_the_values,
    dense_products_are_burns,
    a_matrix_in_pieces_is_the_matrix,
);

const FORMATS: [Format; 9] = [
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q5_1,
    Format::Q8_0,
    Format::Q4_K,
    Format::Q5_K,
    Format::Q6_K,
    Format::NF4,
];
/// Not a whole tile of 16, so that padding rows would show.
const ROWS: usize = 37;

/// f32 sums of a few hundred products in another order, relative to the largest result.
const REORDERED: f32 = 2e-5;
/// Activations rounded to a byte with a scale for 32 columns (k-quants): half a step of 1/127 of a block's largest,
/// over sums of 512 products. A backend that computes exactly stays far below.
const ROUNDED: f32 = 1e-2;

fn values(len: usize, seed: u64) -> Vec<f32> {
    let unit = |i| (crate::rng::mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
    (0..len as u64).map(unit).collect()
}

fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values(shape[0] * shape[1], seed), shape), &device())
}

/// A packed matrix of two blocks a row, and its values as the format's own decoder gives them.
fn matrix(format: Format) -> (QuantizedMatrix, Vec<f32>) {
    let shape = [ROWS, 2 * format.block_len()];
    let original = values(shape[0] * shape[1], 3);
    if format == Format::NF4 {
        let nf4 = Nf4::quantize(&original);
        return (QuantizedMatrix::from_nf4(shape, &nf4, &device()).unwrap(), nf4.dequantize());
    }
    let blocks = quantize(format, &original).unwrap();
    let matrix = QuantizedMatrix::from_blocks(format, shape, &blocks, &device()).unwrap();
    (matrix, dequantize(format, &blocks).unwrap())
}

fn dense_of(matrix: &QuantizedMatrix, values: Vec<f32>) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, matrix.shape()), &device())
}

fn assert_close(found: Tensor<2>, expected: Tensor<2>, bound: f32, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (host_values(found), host_values(expected));
    let largest = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= bound * largest, "{what}: {found} {expected}");
    }
}

fn packed_values_are_the_blocks_values_bit_for_bit() {
    for format in FORMATS {
        let (matrix, expected) = matrix(format);
        assert!(host_values(matrix.dequantize()) == expected, "{format:?}");
        let [_, cols] = matrix.shape();
        let ids = [36, 0, 17, 17];
        let rows: Vec<f32> = ids.iter().flat_map(|id| &expected[id * cols..][..cols]).copied().collect();
        assert!(host_values(matrix.rows(&ids.map(|id| id as u32))) == rows, "{format:?}");
    }
}

fn products_are_those_of_the_values() {
    for format in FORMATS {
        let (matrix, values) = matrix(format);
        let matrix = matrix.with_arithmetic(Arithmetic::Exact);
        let weight = dense_of(&matrix, values);
        let [rows, cols] = matrix.shape();
        let (x, dy) = (random([3, cols], 5), random([3, rows], 6));
        let (y, dx) = (matrix.matmul(x.clone()), matrix.matmul_transposed(dy.clone()));
        assert_close(y, x.matmul(weight.clone().transpose()), REORDERED, &format!("{format:?}"));
        assert_close(dx, dy.matmul(weight), REORDERED, &format!("{format:?} transposed"));
    }
}

fn integer_products_are_close() {
    let all = FORMATS.map(matrix);
    // Matrices of the same width are one product, whose parts are those of each alone.
    for pair in all.windows(2).filter(|pair| pair[0].0.shape() == pair[1].0.shape()) {
        let [first, second] = [&pair[0].0, &pair[1].0];
        let x = random([3, first.shape()[1]], 5);
        let found = QuantizedMatrix::matmul_each([first, second], x.clone());
        for (found, (matrix, values)) in found.into_iter().zip(pair) {
            let what = format!("{:?}", matrix.format());
            assert!(host_values(found.clone()) == host_values(matrix.matmul(x.clone())), "{what} alone");
            let weight = dense_of(matrix, values.clone());
            assert_close(found, x.clone().matmul(weight.transpose()), ROUNDED, &what);
        }
    }
}

fn the_gradient_by_x_is_dy_times_the_values() {
    for format in FORMATS {
        let (matrix, values) = matrix(format);
        let matrix = matrix.with_arithmetic(Arithmetic::Exact);
        let [rows, cols] = matrix.shape();
        let (x, dy) = (random([3, cols], 5).autodiff().require_grad(), random([3, rows], 6));
        let gradients = matrix.matmul(x.clone()).mul(dy.clone().autodiff()).sum().backward();
        let found = x.grad(&gradients).expect("the gradient of a leaf");
        assert_close(found, dy.matmul(dense_of(&matrix, values)), REORDERED, &format!("{format:?}"));
    }
}

fn dense_products_are_burns() {
    for (tokens, rows, cols) in [(1, 1, 1), (3, 37, 70), (20, 64, 33)] {
        let (weight, x, dy) = (random([rows, cols], 1), random([tokens, cols], 2), random([tokens, rows], 3));
        let expected = x.clone().matmul(weight.clone().transpose());
        assert_close(dense::matmul(x.clone(), weight.clone()), expected, REORDERED, "y");
        let expected = dy.clone().matmul(weight.clone());
        let found = dense::matmul_transposed(dy.clone(), weight.clone());
        assert_close(found, expected.clone(), REORDERED, "dx");
        let leaf = x.autodiff().require_grad();
        let gradients = dense::matmul(leaf.clone(), weight.autodiff()).mul(dy.autodiff()).sum().backward();
        assert_close(leaf.grad(&gradients).expect("the gradient of a leaf"), expected, REORDERED, "gradient");
    }
}

fn a_matrix_in_pieces_is_the_matrix() {
    let format = Format::Q4_1;
    let (whole, values) = matrix(format);
    let [rows, cols] = whole.shape();
    let blocks = quantize(format, &values).unwrap();
    // Room for a tile of 16 rows and a little more.
    let tile_bytes = cols / format.block_len() * format.block_bytes() * 16;
    let pieces =
        QuantizedMatrix::in_pieces(format, [rows, cols], &blocks, Some(tile_bytes as u64 + 100), &device());
    let pieces = pieces.unwrap();
    assert_eq!(pieces.pieces.len(), 3);
    assert_eq!(
        (pieces.shape(), pieces.bytes(), pieces.to_blocks()),
        (whole.shape(), whole.bytes(), whole.to_blocks())
    );
    let (x, dy) = (random([3, cols], 5), random([3, rows], 6));
    assert_close(pieces.dequantize(), whole.dequantize(), 0.0, "values");
    assert_close(pieces.rows(&[36, 0, 17, 17]), whole.rows(&[36, 0, 17, 17]), 0.0, "rows");
    assert_close(pieces.matmul(x.clone()), whole.matmul(x), REORDERED, "y");
    assert_close(pieces.matmul_transposed(dy.clone()), whole.matmul_transposed(dy), ROUNDED, "dx");
}
