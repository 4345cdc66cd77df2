//! The fused ops of every backend against plain formulas in burn's ordinary ops, their gradients against burn's
//! automatic ones, and the law of paged attention: a token's result depends on its own sequence alone.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{
    DType, Int, Tensor, TensorData,
    activation::{log_softmax, silu},
};
use proptest::prelude::*;

use super::causal;
use super::dropout::{Mask, dropout};
use super::fused::FusedOps;
use super::paged::{self, BLOCK, LayerCache, PagedSequence, Pages, StepPages};
use super::{rms_norm::rms_norm, rotary::rotary, swiglu::swiglu};
use crate::every_backend::{cases, device, on_every_backend};
use crate::ops::host_values::host_values;

on_every_backend!(
    the_reference_of_attention_is_a_mean_of_what_is_seen,
    what_others_left_in_a_block_changes_nothing,
    norm_and_gate_are_their_formulas,
    rotation_is_its_formula,
    paged_attention_is_attention,
    causal_attention_and_its_gradients_are_attentions,
    dropout_multiplies_by_its_mask_both_ways,
    cross_entropy_is_its_formula;
    only flex:
    a_token_that_overflows_leaves_those_before_it,
    a_cache_of_16_bits_keeps_large_numbers_finite, // ndarray has no such numbers
    a_token_attends_alike_in_any_batch,
);

/// f32 sums in another order, and an exponential of another polynomial: a few hundred roundings of 6e-8.
const ROUNDING: f32 = 2e-5;

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let unit = |i| (crate::rng::mix(seed, i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(unit).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.dims(), expected.dims());
    for (found, expected) in host_values(found).iter().zip(host_values(expected)) {
        prop_assert!((found - expected).abs() <= ROUNDING * (1.0 + expected.abs()), "{found} {expected}");
    }
    Ok(())
}

/// The values of `op` and `plain` at `inputs`, and the gradients of a weighted sum by each input.
fn same_with_gradients<const D: usize>(
    inputs: &[Tensor<D>],
    op: impl Fn(&[Tensor<D>]) -> Tensor<D>,
    plain: impl Fn(&[Tensor<D>]) -> Tensor<D>,
) -> Result<(), TestCaseError> {
    assert_close(op(inputs), plain(inputs))?;
    let gradients = |op: &dyn Fn(&[Tensor<D>]) -> Tensor<D>| -> Vec<Tensor<D>> {
        let leaves: Vec<_> = inputs.iter().map(|x| x.clone().autodiff().require_grad()).collect();
        let y = op(&leaves);
        let weights = random(y.dims(), 99).autodiff();
        let gradients = y.mul(weights).sum().backward();
        leaves.iter().map(|leaf| leaf.grad(&gradients).expect("every leaf has a gradient")).collect()
    };
    for (found, expected) in gradients(&op).into_iter().zip(gradients(&plain)) {
        assert_close(found, expected)?;
    }
    Ok(())
}

/// The reference of attention, which burn differentiates by itself.
fn plain_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, window: Option<usize>) -> Tensor<3> {
    let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
    Tensor::from_dispatch(super::attention::attention::<Dispatch>(q, k, v, window))
}

fn plain_rotary(x: Tensor<3>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<3> {
    let [_, _, head_dim] = x.dims();
    let (first, second) = (x.clone().narrow(2, 0, head_dim / 2), x.narrow(2, head_dim / 2, head_dim / 2));
    let y1 = first.clone().mul(cos.clone()).sub(second.clone().mul(sin.clone()));
    Tensor::cat(vec![y1, second.mul(cos).add(first.mul(sin))], 2)
}

/// An empty cache of one layer.
fn cache(blocks: usize, kv_heads: usize, head_dim: usize, dtype: DType) -> LayerCache {
    let device = device();
    (
        Tensor::zeros([blocks, kv_heads, head_dim, BLOCK], (&device, dtype)),
        Tensor::zeros([blocks, kv_heads, BLOCK, head_dim], (&device, dtype)),
    )
}

/// The numbers that a cache may keep on the backend.
fn cache_types() -> Vec<DType> {
    [DType::F32, DType::F16].into_iter().filter(|dtype| device().supports_dtype(*dtype)).collect()
}

fn any_dtype() -> impl Strategy<Value = DType> {
    prop::sample::select(cache_types())
}

fn pages(chunks: &[(usize, usize, &[u32])], window: Option<usize>) -> StepPages {
    let mut start = 0;
    let sequences = chunks.iter().map(|&(past, len, blocks)| {
        start += len;
        let blocks = blocks[..(past + len).div_ceil(BLOCK)].to_vec();
        PagedSequence { start: start - len, len, past, blocks }
    });
    StepPages::new(Pages::new(sequences.collect(), window), &device())
}

/// Numbers bit by bit, so that NaN is compared too.
fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    host_values(tensor).into_iter().map(f32::to_bits).collect()
}

fn the_reference_of_attention_is_a_mean_of_what_is_seen() {
    let (tokens, context, kv_heads, head_dim) = (5, 9, 2, 4);
    let (k, v) = (random([context, kv_heads, head_dim], 1), random([context, kv_heads, head_dim], 2));
    let values = host_values(v.clone());
    for window in [None, Some(1), Some(3)] {
        // Of equal scores every position seen has the same weight.
        let q = random([tokens, 2 * kv_heads, head_dim], 3).mul_scalar(0.0);
        let found = host_values(plain_attention(q, k.clone(), v.clone(), window));
        for (at, found) in found.iter().enumerate() {
            let (token, head, channel) =
                (at / head_dim / (2 * kv_heads), at / head_dim % (2 * kv_heads), at % head_dim);
            let position = context - tokens + token;
            let seen = window.map_or(0, |window| position + 1 - window)..=position;
            let count = seen.clone().count() as f32;
            let sum: f32 = seen.map(|other| values[(other * kv_heads + head / 2) * head_dim + channel]).sum();
            assert!((found - sum / count).abs() < ROUNDING, "{window:?} {at}: {found} {}", sum / count);
        }
    }
    // Of scores far apart the largest has all the weight: the key that is the query's own.
    let k = Tensor::<3>::from_data([[[9.0, 0.0]], [[0.0, 9.0]], [[-9.0, 0.0]]], &device());
    let v = Tensor::<3>::from_data([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]], &device());
    let q = Tensor::<3>::from_data([[[0.0, 9.0]], [[9.0, 0.0]]], &device());
    assert_eq!(host_values(plain_attention(q, k, v, None)), [3.0, 4.0, 1.0, 2.0]);
}

fn what_others_left_in_a_block_changes_nothing() {
    let (heads, kv_heads, head_dim) = (4, 2, 24);
    for dtype in cache_types() {
        // A prompt that ends within a block, then three tokens in it, the last of which is forgotten again.
        let answer = |memory: LayerCache| {
            let mut memory = memory;
            let mut found = Vec::new();
            for (past, len) in [(0, 37), (37, 3), (39, 1)] {
                let [k, v] = [1, 2].map(|seed| random([len, kv_heads, head_dim], past as u64 + seed));
                let pages = pages(&[(past, len, &[2, 0])], None);
                memory = paged::write(memory, k, v, &pages);
                let q = random([len, heads, head_dim], past as u64);
                found.extend(bits(paged::attention(q, &memory, &pages)));
            }
            found
        };
        let clean = answer(cache(3, kv_heads, head_dim, dtype));
        for left in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let (keys, values) = cache(3, kv_heads, head_dim, dtype);
            let dirty = (keys.add_scalar(left), values.add_scalar(left));
            assert!(answer(dirty) == clean, "{dtype:?} {left}");
        }
    }
}

fn a_token_that_overflows_leaves_those_before_it() {
    let (heads, kv_heads, head_dim, len) = (3, 1, 24, 40);
    let [q, k, v] =
        [(heads, 1), (kv_heads, 2), (kv_heads, 3)].map(|(h, seed)| random([len, h, head_dim], seed));
    let answer = |len: usize, last: f32| {
        let part = |x: &Tensor<3>| x.clone().narrow(0, 0, len);
        let infinite = Tensor::full([1, kv_heads, head_dim], last, &device());
        let v = Tensor::cat(vec![v.clone().narrow(0, 0, len - 1), infinite], 0);
        let pages = pages(&[(0, len, &[0, 1])], None);
        let memory = paged::write(cache(2, kv_heads, head_dim, DType::F32), part(&k), v, &pages);
        bits(paged::attention(part(&q), &memory, &pages).narrow(0, 0, len - 1))
    };
    // In the middle of a block, at its end, and at the beginning of the next.
    for len in [20, 32, 33, 40] {
        assert!(answer(len, f32::INFINITY) == answer(len, 0.0), "{len}");
    }
}

fn a_cache_of_16_bits_keeps_large_numbers_finite() {
    let pages = pages(&[(0, 4, &[0])], None);
    let k = random([4, 1, 8], 1);
    let v = random([4, 1, 8], 2).mul_scalar(1e6);
    let memory = paged::write(cache(1, 1, 8, DType::F16), k.clone(), v, &pages);
    let found = host_values(paged::attention(random([4, 1, 8], 3), &memory, &pages));
    assert!(found.iter().all(|y| y.is_finite() && y.abs() <= 65504.0), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]

    fn norm_and_gate_are_their_formulas(tokens in 1usize..40, hidden in 1usize..80, seed: u64) {
        let (x, other) = (random([tokens, hidden], seed), random([tokens, hidden], seed ^ 1));
        let weight: Tensor<1> = random([hidden], seed ^ 2);
        same_with_gradients(
            std::slice::from_ref(&x),
            |x| rms_norm(x[0].clone(), weight_like(&weight, &x[0]), 1e-5),
            |x| {
                let inverse = x[0].clone().square().mean_dim(1).add_scalar(1e-5).sqrt().recip();
                x[0].clone().mul(inverse).mul(weight_like(&weight, &x[0]).unsqueeze())
            },
        )?;
        let gate_and_up = [x.mul_scalar(6.0), other];
        same_with_gradients(
            &gate_and_up,
            |x| swiglu(x[0].clone(), x[1].clone()),
            |x| silu(x[0].clone()).mul(x[1].clone()),
        )?;
    }

    fn rotation_is_its_formula(tokens in 1usize..40, heads in 1usize..5, half in 1usize..20, seed: u64) {
        let x = random([tokens, heads, 2 * half], seed);
        let angles = random([tokens, 1, half], seed ^ 1).mul_scalar(3.0);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let like = |x: &Tensor<3>, angle: &Tensor<3>| match x.is_autodiff() {
            true => angle.clone().autodiff(),
            false => angle.clone(),
        };
        same_with_gradients(
            &[x],
            |x| rotary(x[0].clone(), like(&x[0], &cos), like(&x[0], &sin)),
            |x| plain_rotary(x[0].clone(), like(&x[0], &cos), like(&x[0], &sin)),
        )?;
    }

    fn paged_attention_is_attention(
        past in prop_oneof![0usize..70, 200usize..560],
        len in 1usize..40,
        kv_heads in 1usize..3,
        group in 1usize..5,
        head_dim in prop::sample::select(vec![2usize, 8, 32, 48, 64]),
        window in prop::option::of(1usize..50),
        dtype in any_dtype(),
        seed: u64,
    ) {
        let context = past + len;
        let k = random([context, kv_heads, head_dim], seed);
        let v = random([context, kv_heads, head_dim], seed ^ 1);
        let q = random([len, kv_heads * group, head_dim], seed ^ 2);
        let blocks: Vec<u32> = (0..19).map(|block| block * 7 % 19).collect();
        let empty = cache(19, kv_heads, head_dim, dtype);
        let before = |x: &Tensor<3>| x.clone().narrow(0, 0, past);
        let after = |x: &Tensor<3>| x.clone().narrow(0, past, len);
        let filled = match past {
            0 => empty,
            _ => paged::write(empty, before(&k), before(&v), &pages(&[(0, past, &blocks)], window)),
        };
        let step = pages(&[(past, len, &blocks)], window);
        let filled = paged::write(filled, after(&k), after(&v), &step);
        let (k, v) = (k.cast(dtype).cast(DType::F32), v.cast(dtype).cast(DType::F32));
        assert_close(paged::attention(q.clone(), &filled, &step), plain_attention(q, k, v, window))?;
    }

    fn causal_attention_and_its_gradients_are_attentions(
        first in 1usize..70,
        second in 1usize..40,
        kv_heads in 1usize..3,
        group in 1usize..4,
        head_dim in prop::sample::select(vec![2usize, 24, 32, 64]),
        window in prop::option::of(1usize..50),
        seed: u64,
    ) {
        let tokens = first + second;
        let q = random([tokens, kv_heads * group, head_dim], seed);
        let k = random([tokens, kv_heads, head_dim], seed ^ 1);
        let v = random([tokens, kv_heads, head_dim], seed ^ 2);
        let (past, future) = (first.div_ceil(BLOCK) as u32, second.div_ceil(BLOCK) as u32);
        let blocks: Vec<u32> = (0..past + future).collect();
        let (of_first, of_second) = blocks.split_at(past as usize);
        let pages = pages(&[(0, first, of_first), (0, second, of_second)], window);
        let plain = |x: &[Tensor<3>]| {
            let sequence = |start: usize, len: usize| {
                let [q, k, v] = [0, 1, 2].map(|i| x[i].clone().narrow(0, start, len));
                plain_attention(q, k, v, window)
            };
            Tensor::cat(vec![sequence(0, first), sequence(first, second)], 0)
        };
        same_with_gradients(&[q, k, v], |x| causal::attention(x[0].clone(), x[1].clone(), x[2].clone(), &pages), plain)?;
    }

    fn dropout_multiplies_by_its_mask_both_ways(tokens in 1usize..40, channels in 1usize..300, seed: u64) {
        let mask = Mask::new(0.25, seed);
        let x: Tensor<2> = random([tokens, channels], seed);
        let len = tokens * channels;
        let factors: Vec<f32> = (0..len.div_ceil(4)).flat_map(|at| mask.factors(at)).take(len).collect();
        prop_assert!(factors.iter().all(|factor| [0.0, 4.0 / 3.0].contains(factor)));
        let factors = Tensor::<2>::from_data(TensorData::new(factors, [tokens, channels]), &device());
        same_with_gradients(&[x], |x| dropout(x[0].clone(), mask), |x| match x[0].is_autodiff() {
            true => x[0].clone().mul(factors.clone().autodiff()),
            false => x[0].clone().mul(factors.clone()),
        })?;
    }

    fn cross_entropy_is_its_formula(rows in 1usize..20, vocab in 1usize..300, seed: u64) {
        let logits: Tensor<2> = random([rows, vocab], seed).mul_scalar(20.0);
        let targets: Vec<u32> = (0..rows as u64).map(|row| (crate::rng::mix(seed, row) % vocab as u64) as u32).collect();
        let (nll, gradient) = <Dispatch as FusedOps>::cross_entropy(logits.clone().into_dispatch(), Arc::new(targets.clone()));
        let leaf = logits.autodiff().require_grad();
        let ids = targets.iter().map(|id| i64::from(*id)).collect::<Vec<_>>();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, 1]), &leaf.device());
        let expected = log_softmax(leaf.clone(), 1).gather(1, ids).neg();
        let gradients = expected.clone().sum().backward();
        assert_close(Tensor::<1>::from_dispatch(nll).reshape([rows, 1]), expected.inner())?;
        assert_close(Tensor::<2>::from_dispatch(gradient), leaf.grad(&gradients).expect("the leaf's"))?;
    }

    fn a_token_attends_alike_in_any_batch(
        len in prop_oneof![2usize..70, 250usize..560],
        cut in 0.0..1.0f64,
        dtype in any_dtype(),
        seed: u64,
    ) {
        let (cut, kv_heads, head_dim) = (1 + (cut * (len - 1) as f64) as usize, 2, 32);
        let k = random([len, kv_heads, head_dim], seed);
        let v = random([len, kv_heads, head_dim], seed ^ 1);
        let q = random([len, 2 * kv_heads, head_dim], seed ^ 2);
        let (forwards, backwards): (Vec<u32>, Vec<u32>) = ((0..18).collect(), (1..19).rev().collect());
        let at_once = pages(&[(0, len, &forwards)], None);
        let filled = paged::write(cache(19, kv_heads, head_dim, dtype), k.clone(), v.clone(), &at_once);
        let expected = host_values(paged::attention(q.clone(), &filled, &at_once));

        // The same sequence in two chunks and other blocks, the second beside a stranger.
        let first = pages(&[(0, cut, &backwards)], None);
        let part = |x: &Tensor<3>, from: usize, to: usize| x.clone().narrow(0, from, to - from);
        let filled = cache(19, kv_heads, head_dim, dtype);
        let filled = paged::write(filled, part(&k, 0, cut), part(&v, 0, cut), &first);
        let start = host_values(paged::attention(part(&q, 0, cut), &filled, &first));
        let both = pages(&[(0, 3, &[0]), (cut, len - cut, &backwards)], None);
        let beside = |x: &Tensor<3>| Tensor::cat(vec![part(x, 0, 1), part(x, 0, 1), part(x, 0, 1), part(x, cut, len)], 0);
        let filled = paged::write(filled, beside(&k), beside(&v), &both);
        let end = host_values(paged::attention(beside(&q), &filled, &both));
        let stranger = 3 * 2 * kv_heads * head_dim;
        let found: Vec<f32> = start.into_iter().chain(end.into_iter().skip(stranger)).collect();
        prop_assert_eq!(found, expected);
    }
}

/// `weight` as a constant of the graph that `x` is in.
fn weight_like(weight: &Tensor<1>, x: &Tensor<2>) -> Tensor<1> {
    match x.is_autodiff() {
        true => weight.clone().autodiff(),
        false => weight.clone(),
    }
}
