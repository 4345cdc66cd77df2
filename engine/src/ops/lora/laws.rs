//! The op on `Flex` against its default body, and both gradients against burn's automatic ones of that body.

use burn::tensor::TensorData;
use proptest::prelude::*;

use super::*;
use crate::every_backend::{cases, device, on_every_backend};
use crate::ops::host_values::host_values;
use crate::rng::mix;

on_every_backend!(the_op_is_its_reference, the_default_gradients_are_the_kernels,);

/// f32 sums in another order.
const REORDERED: f32 = 2e-5;

fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
    let unit = |i| (mix(seed, i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(unit).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn assert_close(found: Tensor<2>, expected: Tensor<2>, what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (host_values(found), host_values(expected));
    let largest = expected.iter().fold(1f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        prop_assert!((found - expected).abs() <= REORDERED * largest, "{what}: {found} {expected}");
    }
    Ok(())
}

fn by_reference(y: Tensor<2>, x: Tensor<2>, parts: Vec<LoraPart<Tensor<2>>>) -> Tensor<2> {
    let parts = parts.into_iter().map(|part| part.map(Tensor::into_dispatch)).collect();
    Tensor::from_dispatch(reference::<Dispatch>(y.into_dispatch(), x.into_dispatch(), LoraParts(parts)))
}

/// Names of `y`, `x` and the parts' tensors in messages of failures.
const NAMES: [&str; 8] = ["y", "x", "A", "B", "factor", "second A", "second B", "second factor"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]

    fn the_op_is_its_reference(
        tokens in 2usize..70,
        inputs in 1usize..70,
        out in 1usize..70,
        ranks in (1usize..20, 1usize..20),
        with_factor: bool,
        with_dropout: bool,
        apart: bool,
        seed: u64,
    ) {
        let dropout = with_dropout.then(|| Mask::new(0.25, seed));
        let rows = |half: bool| (0..tokens).filter(|row| (*row * 7 % 3 == 0) == half).collect::<Vec<usize>>();
        // `y`, `x`, and the tensors of each part.
        let mut inputs_of_op = vec![random([tokens, out], seed), random([tokens, inputs], seed ^ 1)];
        for (number, rank) in [ranks.0, ranks.1].into_iter().take(1 + usize::from(apart)).enumerate() {
            let seed = seed ^ (number as u64 + 1) << 8;
            inputs_of_op.extend([random([rank, inputs], seed ^ 2), random([out, rank], seed ^ 3)]);
            inputs_of_op.push(random([1, out], seed ^ 4));
        }
        let run = |op: &dyn Fn(Tensor<2>, Tensor<2>, Vec<LoraPart<Tensor<2>>>) -> Tensor<2>, all: &[Tensor<2>]| {
            let part = |(number, tensors): (usize, &[Tensor<2>])| LoraPart {
                rows: apart.then(|| PartRows::new(rows(number == 0), tokens, &device())),
                a: tensors[0].clone(),
                b: tensors[1].clone(),
                factor: with_factor.then(|| tensors[2].clone()),
                scale: 0.75,
                dropout,
            };
            op(all[0].clone(), all[1].clone(), all[2..].chunks(3).enumerate().map(part).collect())
        };
        assert_close(run(&lora, &inputs_of_op), run(&by_reference, &inputs_of_op), "values")?;

        let gradients = |op: &dyn Fn(Tensor<2>, Tensor<2>, Vec<LoraPart<Tensor<2>>>) -> Tensor<2>| {
            let leaves: Vec<_> = inputs_of_op.iter().map(|x| x.clone().autodiff().require_grad()).collect();
            let y = run(op, &leaves);
            let gradients = y.mul(random([tokens, out], 99).autodiff()).sum().backward();
            leaves.iter().map(|leaf| leaf.grad(&gradients)).collect::<Vec<_>>()
        };
        for ((found, expected), name) in gradients(&lora).into_iter().zip(gradients(&by_reference)).zip(NAMES) {
            match (found, expected) {
                (Some(found), Some(expected)) => assert_close(found, expected, name)?,
                (found, expected) => prop_assert_eq!(found.is_some(), expected.is_some(), "{}", name),
            }
        }
    }

    fn the_default_gradients_are_the_kernels(
        tokens in 1usize..40,
        inputs in 1usize..40,
        out in 1usize..40,
        rank in 1usize..20,
        seed: u64,
    ) {
        let dropout = Some(Mask::new(0.25, seed));
        let tensors = || {
            let shapes = [[tokens, inputs], [rank, inputs], [out, rank]];
            let tensor = |(index, shape)| random(shape, seed ^ index as u64).into_dispatch();
            let all: Vec<_> = shapes.into_iter().enumerate().map(tensor).collect();
            <[_; 3]>::try_from(all).expect("three")
        };
        let dy = || random([tokens, out], seed ^ 3).into_dispatch();
        let [x, a, b] = tensors();
        let (dx, da, db) = Dispatch::lora_backward(dy(), x, a, b, 0.5, dropout, true);
        let expected = reference_backward::<Dispatch>(dy(), tensors(), 0.5, dropout, true);
        let pairs = [(dx.unwrap(), expected.0.unwrap()), (da, expected.1), (db, expected.2)];
        for ((found, expected), name) in pairs.into_iter().zip(["x", "A", "B"]) {
            assert_close(Tensor::from_dispatch(found), Tensor::from_dispatch(expected), name)?;
        }
    }
}
