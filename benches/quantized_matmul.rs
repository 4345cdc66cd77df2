//! Products with a quantized matrix, forwards and backwards: the integer kernels against f32.
//! Each pair is compared before it is timed.

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::Arithmetic;
use engine::QuantizedMatrix;
use engine::quant::Format;

/// A projection of SmolLM2-135M's MLP, rounded up to whole K-quant blocks.
const SHAPE: [usize; 2] = [1536, 768];
/// Rounding of activations to 16 bits or, backwards, of gradients and weights to 14; forwards with k-quants to 8.
fn tolerance(format: Format, product: &str) -> f32 {
    match (format, product) {
        (Format::Q4_K | Format::Q6_K, "y") => 2e-2,
        _ => 1e-3,
    }
}

type Product = fn(&QuantizedMatrix, Tensor<2>) -> Tensor<2>;

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 values")
}

fn benches(criterion: &mut Criterion) {
    let device: Device = engine::device::parse(engine::device::AVAILABLE[0]).expect("a backend");
    let [rows, cols] = SHAPE;
    let weights = values(Tensor::random([rows, cols], Distribution::Uniform(-1.0, 1.0), &device));
    for format in [Format::Q4_0, Format::Q4_1, Format::Q8_0, Format::Q4_K, Format::Q6_K] {
        let matrix = QuantizedMatrix::quantize(format, SHAPE, &weights, &device).expect("whole blocks");
        let exact = matrix.clone().with_arithmetic(Arithmetic::Exact);
        let mut group = criterion.benchmark_group(format!("{format:?} {rows}x{cols}"));
        let products: [(&str, usize, Product); 2] =
            [("y", cols, QuantizedMatrix::matmul), ("dx", rows, QuantizedMatrix::matmul_transposed)];
        for (tokens, (name, width, product)) in [1, 128].into_iter().flat_map(|n| products.map(|p| (n, p))) {
            let x = Tensor::<2>::random([tokens, width], Distribution::Uniform(-1.0, 1.0), &device);
            let (found, expected) = (values(product(&matrix, x.clone())), values(product(&exact, x.clone())));
            let largest = expected.iter().fold(0f32, |max, y| max.max(y.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                let bound = tolerance(format, name) * largest;
                assert!((found - expected).abs() <= bound, "{format:?}: {found} {expected}");
            }
            group.throughput(Throughput::Elements((tokens * rows * cols) as u64));
            for (arithmetic, matrix) in [("integer", &matrix), ("exact", &exact)] {
                let id = BenchmarkId::new(format!("{name} {arithmetic}"), tokens);
                group.bench_with_input(id, &x, |bencher, x| {
                    bencher.iter(|| values(product(black_box(matrix), x.clone())));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(quantized_matmul, benches);
criterion_main!(quantized_matmul);
