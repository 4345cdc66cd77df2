//! The ops between the products: the machine's kernel against the formula in burn's ordinary ops. Each
//! pair is compared before it is timed.

use std::hint::black_box;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::ops::{causal_attention, cross_entropy, rms_norm, swiglu};

/// A prompt on SmolLM2-135M.
const TOKENS: usize = 512;
const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const VOCAB: usize = 49152;
/// Rows of logits that a loss has at once.
const LOGITS: usize = 128;
/// f32 sums in another order, and an exponential of another polynomial.
const TOLERANCE: f32 = 1e-4;

fn device() -> Device {
    engine::device::parse(engine::device::AVAILABLE[0]).expect("a backend")
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &device())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 values")
}

/// Compares, then times.
fn pair<const D: usize>(
    criterion: &mut Criterion,
    name: &str,
    kernel: impl Fn() -> Tensor<D>,
    formula: impl Fn() -> Tensor<D>,
) {
    let (found, expected) = (values(kernel()), values(formula()));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= TOLERANCE * (1.0 + expected.abs()), "{name}: {found} {expected}");
    }
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.bench_function("kernel", |bencher| bencher.iter(|| values(black_box(kernel()))));
    group.bench_function("formula", |bencher| bencher.iter(|| values(black_box(formula()))));
    group.finish();
}

fn elementwise(criterion: &mut Criterion) {
    let (x, weight) = (random([TOKENS, HIDDEN]), random([HIDDEN]));
    pair(
        criterion,
        "rms_norm",
        || rms_norm(x.clone(), weight.clone(), 1e-5),
        || {
            let inverse = x.clone().square().mean_dim(1).add_scalar(1e-5).sqrt().recip();
            x.clone().mul(inverse).mul(weight.clone().unsqueeze())
        },
    );
    let (gate, up) = (random([TOKENS, INTERMEDIATE]), random([TOKENS, INTERMEDIATE]));
    pair(criterion, "swiglu", || swiglu(gate.clone(), up.clone()), || silu(gate.clone()).mul(up.clone()));
    let logits = random([LOGITS, VOCAB]);
    let targets: Vec<u32> = (0..LOGITS as u32).map(|row| row * 97).collect();
    let ids: Vec<i64> = targets.iter().map(|id| i64::from(*id)).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [LOGITS, 1]), &device());
    pair(
        criterion,
        "cross_entropy with its gradient",
        || {
            let (nll, gradient) = cross_entropy(logits.clone(), &targets);
            gradient.add(nll.reshape([LOGITS, 1]))
        },
        || {
            let log_p = log_softmax(logits.clone(), 1);
            let nll = log_p.clone().gather(1, ids.clone()).neg();
            let minus_one = Tensor::full([LOGITS, 1], -1.0, &device());
            let gradient =
                log_p.exp().scatter(1, ids.clone(), minus_one, burn::tensor::IndexingUpdateOp::Add);
            gradient.add(nll)
        },
    );
}

/// `softmax(q · kᵀ / sqrt(head_dim)) · v` over the past.
fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, future: &Tensor<3, Bool>) -> Tensor<3> {
    let group = HEADS / KV_HEADS;
    let by_head = |x: Tensor<3>| x.swap_dims(0, 1); // [heads, tokens, head_dim]
    let shared = |x: Tensor<3>| {
        let x = x.swap_dims(0, 1).reshape([KV_HEADS, 1, TOKENS * HEAD_DIM]);
        x.repeat_dim(1, group).reshape([HEADS, TOKENS, HEAD_DIM])
    };
    let scores = by_head(q).matmul(shared(k).swap_dims(1, 2)).div_scalar((HEAD_DIM as f32).sqrt());
    let weights = softmax(scores.mask_fill(future.clone(), f32::NEG_INFINITY), 2);
    weights.matmul(shared(v)).swap_dims(0, 1)
}

fn attentions(criterion: &mut Criterion) {
    let q = random([TOKENS, HEADS, HEAD_DIM]);
    let [k, v] = [0, 1].map(|_| random([TOKENS, KV_HEADS, HEAD_DIM]));
    let future = Tensor::<2, Bool>::tril_mask([TOKENS, TOKENS], 0, &device()).unsqueeze::<3>();
    let future = future.expand([HEADS, TOKENS, TOKENS]);
    let kernel = |q, k, v| causal_attention(q, k, v, &[TOKENS], None);
    let formula = |q, k, v| attention(q, k, v, &future);
    pair(
        criterion,
        "causal attention",
        || kernel(q.clone(), k.clone(), v.clone()),
        || formula(q.clone(), k.clone(), v.clone()),
    );
    let gradient = |op: &dyn Fn(Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<3>| {
        let [q, k, v] = [&q, &k, &v].map(|x| x.clone().autodiff().require_grad());
        let gradients = op(q.clone(), k.clone(), v.clone()).sum().backward();
        let [dq, dk, dv] = [q, k, v].map(|x| x.grad(&gradients).expect("a gradient"));
        Tensor::cat(vec![dq, dk, dv], 1)
    };
    pair(criterion, "causal attention with its gradient", || gradient(&kernel), || gradient(&formula));
}

criterion_group!(ops, elementwise, attentions);
criterion_main!(ops);
