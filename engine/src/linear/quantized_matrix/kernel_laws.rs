//! The laws of the CPU's kernels of packed matrices, on random shapes: packing loses nothing, every kernel equals
//! the reference body, and a row's result depends on that row alone.

use burn::backend::Flex;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use crate::backend::cpu::matmul::dispatch;
use crate::linear::quantized_matrix::QuantizedMatrix;
use crate::ops::host_values::host_values;
use crate::ops::quantized::Arithmetic;
use crate::quant::formats::nf4;
use crate::quant::{Format, Layout, Nf4, TILE, decode, dequantize, pack, quantize};

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

/// f32 sums of a few hundred products in another order.
const REORDERED: f32 = 2e-5;
/// Activations rounded to half a step of 1/32512 of their row's largest, or of 1/127 of their block's.
fn rounded(format: Format) -> f32 {
    if format.has_super_blocks() { 8e-3 } else { 2e-4 }
}

/// GGUF blocks in packed words.
fn packed(layout: Layout, blocks: &[u8]) -> Vec<u32> {
    let mut words = vec![0; layout.words()];
    pack::pack(layout, layout.format().spec().blocks.as_ref().unwrap(), blocks, &mut words);
    words
}

/// A matrix of pseudo-random values in packed words.
fn packed_values(layout: Layout, seed: u64) -> Vec<u32> {
    let values = values(layout.rows() * layout.cols(), seed);
    if layout.format() != Format::NF4 {
        return packed(layout, &quantize(layout.format(), &values).unwrap());
    }
    let mut words = vec![0; layout.words()];
    nf4::pack(layout, &Nf4::quantize(&values), &mut words);
    words
}

fn device() -> Device {
    Device::flex()
}

/// A pseudo-random matrix; deterministic in its arguments.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let unit = |i| (crate::rng::mix(seed, i) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
    (0..len as u64).map(unit).collect()
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn matrix(format: Format, rows: usize, cols: usize, seed: u64) -> QuantizedMatrix {
    QuantizedMatrix::quantize(format, [rows, cols], &values(rows * cols, seed), &device()).unwrap()
}

/// The relative size of the difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1e-20)
}

#[test]
fn packing_loses_nothing() {
    for format in Format::GGUF {
        for rows in [1, 15, 16, 33] {
            let cols = 3 * format.block_len();
            let blocks = quantize(format, &values(rows * cols, 1)).unwrap();
            let matrix = QuantizedMatrix::from_blocks(format, [rows, cols], &blocks, &device()).unwrap();
            assert_eq!(matrix.to_blocks().unwrap(), blocks, "{format:?}, {rows} rows");
        }
    }
}

#[test]
fn packing_nf4_loses_nothing() {
    let (rows, cols) = (35, 64 * 9); // 315 blocks: two second-level scales
    let nf4 = Nf4::quantize(&values(rows * cols, 2));
    let matrix = QuantizedMatrix::from_nf4([rows, cols], &nf4, &device()).unwrap();
    assert_eq!(matrix.to_nf4().unwrap(), nf4);
    assert_eq!(host_values(matrix.dequantize()), nf4.dequantize());
}

#[test]
fn the_reference_body_is_the_kernel_bit_for_bit() {
    for format in FORMATS {
        let (rows, cols) = (21, 2 * format.block_len());
        let layout = Layout::new(format, [rows, cols]).unwrap();
        let words = packed_values(layout, 4);
        let words = burn::backend::flex::FlexTensor::from_data(TensorData::new(words, [layout.words()]));
        let reference = crate::ops::reference_dequantize::<Flex>(words.clone(), layout);
        let expected = crate::backend::cpu::flex::dequantize(&words, layout).to_contiguous();
        let found = reference.to_contiguous();
        assert_eq!(found.storage::<f32>(), expected.storage::<f32>(), "{format:?}");
    }
}

#[test]
fn every_machine_decodes_the_same_bits() {
    for format in FORMATS {
        let (rows, cols) = (21, 2 * format.block_len()); // the second tile is not full
        let layout = Layout::new(format, [rows, cols]).unwrap();
        let words = packed_values(layout, 10);
        for (tile, blocks) in [(0, 0..cols / 32), (1, 1..2), (1, 0..2)] {
            let [machine, scalar] = dispatch::decoded_twice(&words, layout, tile, blocks);
            assert_eq!(machine, scalar, "{format:?}, tile {tile}");
        }
    }
}

/// Gradients and weights rounded to 14 bits: half a step of 1/8190 of their largest.
const WEIGHTS_ROUNDED: f32 = 2e-4;

#[test]
fn integer_gradients_are_close_and_rows_are_their_own() {
    for format in FORMATS {
        for (tokens, tiles) in [(1, 2), (4, 4), (7, 6)] {
            let (rows, cols) = (TILE * tiles, 2 * format.block_len());
            let matrix = matrix(format, rows, cols, 8);
            let dy = values(tokens * rows, 9);
            let found = host_values(matrix.matmul_transposed(tensor(dy.clone(), [tokens, rows])));
            let exact = matrix.clone().with_arithmetic(Arithmetic::Exact);
            let expected = host_values(exact.matmul_transposed(tensor(dy.clone(), [tokens, rows])));
            assert!(distance(&found, &expected) < WEIGHTS_ROUNDED, "{format:?}");
            let last = tensor(dy[(tokens - 1) * rows..].to_vec(), [1, rows]);
            assert_eq!(
                host_values(matrix.matmul_transposed(last)),
                found[(tokens - 1) * cols..],
                "{format:?}"
            );
        }
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let bytes = vec![0; 18];
    for shape in [[1, 31], [2, 32], [0, 32], [usize::MAX, 32]] {
        let result = QuantizedMatrix::from_blocks(Format::Q4_0, shape, &bytes, &device());
        assert!(result.is_err(), "{shape:?}");
    }
}

#[test]
#[should_panic(expected = "135 words, the layout has 136")]
fn words_of_another_layout_are_refused() {
    let layout = Layout::new(Format::Q8_0, [1, 32]).unwrap(); // 16 · 8 words of codes and 8 of scales
    let words = vec![0u32; layout.words() - 1];
    let words = Tensor::from_data(
        TensorData::new(words, [layout.words() - 1]),
        (&device(), burn::tensor::DType::U32),
    );
    crate::ops::quantized::dequantize(words, layout);
}

#[test]
fn small_gradients_count_beside_a_large_one() {
    let (rows, cols) = (320, 64);
    let matrix = matrix(Format::Q4_1, rows, cols, 8);
    // As those of logits: one of 1, and in other blocks many of less than half a step of 1/32512.
    let small: Vec<f32> = values(rows, 9).iter().map(|v| 2e-5 * v).collect();
    let small = [vec![0.0; 32], small[32..].to_vec()].concat();
    let large = [vec![1.0], vec![0.0; rows - 1]].concat();
    let both: Vec<f32> = small.iter().zip(&large).map(|(a, b)| a + b).collect();
    let by = |matrix: &QuantizedMatrix, dy: &[f32]| {
        host_values(matrix.matmul_transposed(tensor(dy.to_vec(), [1, rows])))
    };
    let found: Vec<f32> = by(&matrix, &both).iter().zip(by(&matrix, &large)).map(|(a, b)| a - b).collect();
    let expected = by(&matrix.clone().with_arithmetic(Arithmetic::Exact), &small);
    assert!(distance(&found, &expected) < 1e-2, "{}", distance(&found, &expected));
}

#[test]
fn the_largest_sums_of_k_quants_fit() {
    let one = 0x3c00u16.to_le_bytes();
    let mut q6 = vec![0u8; 192]; // codes of 0 stand for -32
    q6.extend([0x80; 16]); // factors of -128
    q6.extend(one);
    let of = |len| [&one[..], &[0, 0], &vec![0xff; len][..]].concat(); // scale 1, minimum 0, all else the most
    for (format, block) in [(Format::Q4_K, of(140)), (Format::Q5_K, of(172)), (Format::Q6_K, q6)] {
        let layout = Layout::new(format, [TILE, 512]).unwrap();
        let blocks = block.repeat(2 * TILE);
        let row = dequantize(format, &block).unwrap();
        let expected = 2.0 * row.iter().sum::<f32>();
        for tokens in [1, 5] {
            let x = vec![-1.0; tokens * layout.cols()];
            for found in dispatch::integer_by_all(&x, &packed(layout, &blocks), layout) {
                assert!(found.iter().all(|y| (y + expected).abs() <= 1e-6 * expected.abs()), "{format:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn integer_products_are_close_and_kernels_agree(
        format in prop::sample::select(&Format::GGUF[..]),
        rows in 1usize..70,
        blocks in 1usize..5,
        tokens in 1usize..20,
        seed: u64,
    ) {
        let cols = blocks * format.block_len();
        let layout = Layout::new(format, [rows, cols]).unwrap();
        let matrix = matrix(format, rows, cols, seed);
        let x = values(tokens * cols, seed ^ 1);
        let found = host_values(matrix.matmul(tensor(x.clone(), [tokens, cols])));
        let exact = matrix.clone().with_arithmetic(Arithmetic::Exact);
        let expected = host_values(exact.matmul(tensor(x.clone(), [tokens, cols])));
        // Relative to the terms of the sums: a few sums may cancel to nearly nothing, their rounding errors do not.
        let weights = host_values(matrix.dequantize());
        let products = x.chunks(cols).flat_map(|x| weights.chunks(cols).map(move |w| x.iter().zip(w)));
        let terms = products.flatten().map(|(x, w)| (x * w).powi(2)).sum::<f32>().sqrt();
        let error = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        prop_assert!(error < rounded(format) * terms, "{}", error / terms);

        let words = packed(layout, &matrix.to_blocks().unwrap());
        for other in dispatch::integer_by_all(&x, &words, layout) {
            prop_assert!(distance(&found, &other) < REORDERED, "{}", distance(&found, &other));
        }
    }

    #[test]
    fn a_row_depends_on_itself_alone(
        format in prop::sample::select(&Format::GGUF[..]),
        rows in 1usize..70,
        tokens in prop_oneof![2usize..20, 126usize..132], // and where rows no longer share a decoded block
        seed: u64,
    ) {
        let cols = 2 * format.block_len();
        let matrix = matrix(format, rows, cols, seed);
        let x = values(tokens * cols, seed ^ 2);
        let together = host_values(matrix.matmul(tensor(x.clone(), [tokens, cols])));
        for (token, x) in x.chunks_exact(cols).enumerate() {
            let alone = host_values(matrix.matmul(tensor(x.to_vec(), [1, cols])));
            prop_assert_eq!(&together[token * rows..(token + 1) * rows], &alone[..]);
        }
    }

    #[test]
    fn matrices_multiply_together_as_alone(
        formats in prop::array::uniform3(prop::sample::select(&FORMATS[..])),
        arithmetics in prop::array::uniform3(prop::sample::select(vec![Arithmetic::Integer, Arithmetic::Exact])),
        rows in prop::array::uniform3(1usize..200),
        tokens in 1usize..20,
        seed: u64,
    ) {
        let cols = 256;
        let matrices: [_; 3] = std::array::from_fn(|i| {
            matrix(formats[i], rows[i], cols, seed ^ i as u64).with_arithmetic(arithmetics[i])
        });
        let x = tensor(values(tokens * cols, seed ^ 4), [tokens, cols]);
        let together = QuantizedMatrix::matmul_each(matrices.each_ref(), x.clone());
        for (matrix, together) in matrices.iter().zip(together) {
            prop_assert_eq!(host_values(together), host_values(matrix.matmul(x.clone())));
        }
    }

    #[test]
    fn group_scales_never_panic_on_any_bits(words in prop::collection::vec(any::<u32>(), 4096), row in 0usize..16) {
        for format in FORMATS {
            let layout = Layout::new(format, [16, 256]).unwrap();
            let mut out = vec![0.0; layout.cols()];
            decode::dequantize_row(layout, &words[..layout.words()], row, &mut out);
        }
    }
}
