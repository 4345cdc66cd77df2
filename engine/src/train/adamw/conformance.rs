//! AdamW in 8 bits against bitsandbytes (`tests/fixtures/adamw_8bit.py`) and against itself in 32.

use burn::tensor::{Tensor, TensorData};
use serde_json::Value;

use super::{AdamW, AdamWConfig, Moment};
use crate::every_backend::{device, on_every_backend};
use crate::model::laws::RandomWeights;
use crate::ops::host_values::host_values;
use crate::quant::DynamicMap;

on_every_backend!(
    steps_in_eight_bits_are_those_of_bitsandbytes,
    moments_that_were_read_out_go_on_bit_for_bit,
    the_loss_falls_in_eight_bits_as_in_thirty_two,
);

/// Largest relative difference of a figure: a number that lies between two codes may go either way.
const FIGURE: f64 = 1e-4;
const SHAPE: [usize; 2] = [70, 100];

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/adamw_8bit.json")).unwrap()
}

fn random(name: &str) -> Vec<f32> {
    RandomWeights::values(name, SHAPE[0] * SHAPE[1])
}

fn tensor(values: Vec<f32>) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, SHAPE), &device())
}

#[test]
fn the_unsigned_map_is_that_of_bitsandbytes() {
    let bits = DynamicMap::Unsigned.values().map(|value| value.to_le_bytes());
    let hex: String = bits.as_flattened().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(fixture()["unsigned_map"], hex);
}

fn steps_in_eight_bits_are_those_of_bitsandbytes() {
    let config = AdamWConfig { weight_decay: 0.1, eight_bit: true, ..AdamWConfig::default() };
    let mut adamw = AdamW::new(config);
    let mut parameter = tensor(random("parameter"));
    for (step, expected) in (1..).zip(fixture()["steps"].as_array().unwrap()) {
        let parts = random(&format!("gradient.{step}")).into_iter().zip(random("gradient"));
        let gradient = parts.map(|(own, shared)| own + 0.1 * shared).collect();
        adamw.update(vec![&mut parameter], vec![Some(tensor(gradient))], 1.0, 1e-2);
        let Some([first, second]) = &adamw.moments[0] else { panic!("no moments") };
        assert!(matches!((first, second), (Moment::Blockwise(_), Moment::Blockwise(_))));
        let found = [("p", parameter.clone()), ("m", first.values()), ("v", second.values())];
        for ((name, values), expected) in found.into_iter().zip(expected.as_array().unwrap()) {
            let [norm, product] = [0, 1].map(|at| expected[at].as_f64().unwrap());
            let found = figures(&host_values(values), name);
            let worst = (found[0] - norm).abs().max((found[1] - product).abs());
            assert!(worst <= FIGURE * norm, "step {step}, {name}: {found:?} instead of {expected}");
        }
    }
    assert_eq!(adamw.steps, 10);
}

/// A checkpoint holds the moments as numbers: quantized again they are the same codes.
fn moments_that_were_read_out_go_on_bit_for_bit() {
    let run = |stopped_after: usize| {
        let mut adamw = AdamW::new(AdamWConfig { eight_bit: true, ..AdamWConfig::default() });
        let mut parameter = tensor(random("parameter"));
        for step in 1..=6 {
            let gradient = tensor(random(&format!("gradient.{step}")));
            adamw.update(vec![&mut parameter], vec![Some(gradient)], 1.0, 1e-2);
            if step == stopped_after {
                let whole = |moments: [Moment; 2]| moments.map(|moment| Moment::Full(moment.values()));
                adamw.moments = adamw.moments.into_iter().map(|moments| moments.map(whole)).collect();
            }
        }
        host_values(parameter)
    };
    assert!(run(0) == run(3));
}

/// The norm of the values, and their product with the probe `name`.
fn figures(values: &[f32], name: &str) -> [f64; 2] {
    let probe = RandomWeights::values(&format!("{name}.probe"), values.len());
    let product =
        |other: &[f32]| -> f64 { values.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    [product(values).sqrt(), product(&probe)]
}

/// `Σ scale · (p − target)²` with scales over three decades in every block, from a random start. With second
/// moments that become 0, the loss rises from the tenth step on.
fn the_loss_falls_in_eight_bits_as_in_thirty_two() {
    let target = tensor(random("target"));
    let scale = tensor(random("scale").into_iter().map(|x| 10f32.powf(5.0 * x)).collect());
    let curve = |eight_bit: bool| -> Vec<f64> {
        let mut adamw = AdamW::new(AdamWConfig { eight_bit, ..AdamWConfig::default() });
        let mut parameter = tensor(random("parameter"));
        let mut step = |_| {
            let difference = parameter.clone().sub(target.clone());
            let gradient = difference.clone().mul(scale.clone()).mul_scalar(2.0);
            let loss = host_values(difference.square().mul(scale.clone())).into_iter().map(f64::from).sum();
            adamw.update(vec![&mut parameter], vec![Some(gradient)], 1.0, 5e-3);
            loss
        };
        (0..60).map(&mut step).collect()
    };
    let (whole, eight) = (curve(false), curve(true));
    assert!(whole[59] < 0.2 * whole[0], "{} {}", whole[0], whole[59]);
    assert_ne!(whole, eight, "nothing was quantized");
    for (step, (whole, eight)) in whole.iter().zip(&eight).enumerate() {
        assert!((whole - eight).abs() < 0.05 * whole, "step {step}: {whole} {eight}");
    }
}
