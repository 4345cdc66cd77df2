//! What holds for every block, whatever is in it.

use half::f16;
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Format, NF4_CODE, Nf4, dequantize, dynamic_map, quantize};

const ONE_LEVEL: [Format; 5] = [Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0];
const TWO_LEVEL: [Format; 3] = [Format::Q4_K, Format::Q5_K, Format::Q6_K];

/// Rounding to f16 moves a number by at most this share of it, or by `F16_ABSOLUTE` if it is subnormal.
const F16_RELATIVE: f32 = 1.0 / 2048.0;
const F16_ABSOLUTE: f32 = 1.0 / (1 << 25) as f32;
/// A few roundings of f32, as a share of the block's largest magnitude.
const F32_ROUNDINGS: f32 = 1e-6;

fn round_trip(format: Format, values: &[f32]) -> Vec<f32> {
    dequantize(format, &quantize(format, values).unwrap()).unwrap()
}

fn amax(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |amax: f32, x| amax.max(x.abs()))
}

fn min_max(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::MAX, f32::MIN), |(min, max), x| (min.min(*x), max.max(*x)))
}

/// The largest error a value of a one-level block can have: what the codes leave, plus what rounding the
/// scale (and minimum) to f16 adds at the code farthest from 0.
fn bound(format: Format, values: &[f32]) -> f32 {
    let (min, max) = min_max(values);
    let amax = amax(values);
    let (codes_leave, rounded, farthest) = match format {
        // Half a step of amax / 127.
        Format::Q8_0 => (amax / 254.0, amax, 127.0),
        // A whole step of amax / 8: codes reach from -8 to 7, so one that should be 8 is off by 1.
        Format::Q4_0 => (amax / 8.0, amax, 8.0),
        Format::Q5_0 => (amax / 16.0, amax, 16.0),
        // Half a step of (max - min) / 15.
        Format::Q4_1 => ((max - min) / 30.0, max - min + min.abs(), 16.0),
        Format::Q5_1 => ((max - min) / 62.0, max - min + min.abs(), 32.0),
        _ => unreachable!("not a one-level format"),
    };
    codes_leave + rounded * F16_RELATIVE + farthest * F16_ABSOLUTE + amax * F32_ROUNDINGS
}

/// 32 values of one magnitude, not all about 0.
fn group() -> impl Strategy<Value = [f32; 32]> {
    (uniform32(-1.0f32..1.0), -4.0f32..3.0, -3.0f32..3.0)
        .prop_map(|(values, magnitude, mean)| values.map(|x| (x + mean) * 10f32.powf(magnitude)))
}

/// Eight groups whose magnitudes are at most three decades apart.
fn block() -> impl Strategy<Value = Vec<f32>> {
    (vec((uniform32(-1.0f32..1.0), -3.0f32..0.0, -2.0f32..2.0), 8), -3.0f32..2.0).prop_map(
        |(groups, block)| {
            groups
                .into_iter()
                .flat_map(|(values, group, mean)| values.map(|x| (x + mean) * 10f32.powf(group + block)))
                .collect()
        },
    )
}

fn any_bits() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NAN,
            1e-45,
            -1e-39,
            65504.0
        ]),
    ]
}

proptest! {
    #[test]
    fn one_level_errors_are_within_the_bound(values in group()) {
        for format in ONE_LEVEL {
            let bound = bound(format, &values);
            for (x, y) in values.iter().zip(round_trip(format, &values)) {
                prop_assert!((x - y).abs() <= bound, "{format:?}: {x} became {y}, bound {bound}");
            }
        }
    }

    /// The search minimizes a group's weighted squared error, so no single value has a bound, but their
    /// weighted root mean square has: that of the plain fit to the range, half a step, plus what rounding the
    /// scale and the minimum to six bits adds, half of `d` at the largest code and half of `dmin`, plus f16's part.
    #[test]
    fn q4_k_and_q5_k_errors_are_within_the_bound(values in block()) {
        for (format, max_code) in [(Format::Q4_K, 15.0), (Format::Q5_K, 31.0)] {
            let bytes = quantize(format, &values).unwrap();
            let scale = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
            let (d, dmin) = (scale(0), scale(2));
            let rounded = max_code * d + dmin;
            let found = dequantize(format, &bytes).unwrap();
            for (x, y) in values.chunks(32).zip(found.chunks(32)) {
                let (min, max) = min_max(x);
                let bound = (max - min.min(0.0)) / (2.0 * max_code)
                    + rounded / 2.0
                    + 63.0 * (rounded * F16_RELATIVE + (max_code + 1.0) * F16_ABSOLUTE)
                    + amax(&values) * 10.0 * F32_ROUNDINGS;
                let rms = (x.iter().map(|x| x * x).sum::<f32>() / 32.0).sqrt();
                let error = weighted_rms_error(x, y, |x| rms + x.abs());
                prop_assert!(error <= bound, "{format:?}: error {error}, bound {bound}");
            }
        }
    }

    /// As above with weights x²: a step of the group's amax / 32 (codes reach from -32 to 31), plus what rounding the
    /// scale to eight bits adds, up to `d` where the scale should be 128 of them, at the code 32 steps from 0.
    #[test]
    fn q6_k_errors_are_within_the_bound(values in block()) {
        let bytes = quantize(Format::Q6_K, &values).unwrap();
        let d = f16::from_le_bytes([bytes[208], bytes[209]]).to_f32().abs();
        let found = dequantize(Format::Q6_K, &bytes).unwrap();
        for (x, y) in values.chunks(16).zip(found.chunks(16)) {
            let bound = amax(x) / 32.0
                + 32.0 * d
                + 32.0 * 128.0 * (d * F16_RELATIVE + F16_ABSOLUTE)
                + amax(&values) * 10.0 * F32_ROUNDINGS;
            let error = weighted_rms_error(x, y, |x| x * x);
            prop_assert!(error <= bound, "error {error}, bound {bound}");
        }
    }

    #[test]
    fn nf4_errors_are_within_the_bound(groups in vec(group(), 1..20)) {
        check_nf4_errors(&groups.concat());
    }

    /// Minimum and maximum have codes of their own, from which the same scale comes out again. (K-quants search
    /// anew, and NF4's scales are rounded again: they do not have this.)
    #[test]
    fn one_level_blocks_quantize_to_themselves(values in group()) {
        for format in ONE_LEVEL {
            let once = quantize(format, &values).unwrap();
            let twice = quantize(format, &dequantize(format, &once).unwrap()).unwrap();
            prop_assert_eq!(once, twice, "{:?}", format);
        }
    }

    /// As long as the scale is positive, which double quantization does not promise beside much larger blocks.
    #[test]
    fn nf4_codes_quantize_to_themselves(values in vec(-1.0f32..1.0, 1..300)) {
        let once = Nf4::quantize(&values);
        let twice = Nf4::quantize(&once.dequantize());
        let blocks = once.codes().chunks(32).zip(twice.codes().chunks(32)).zip(once.scales());
        for ((once, twice), _) in blocks.filter(|(_, scale)| *scale > 0.0) {
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn any_bits_are_quantized_without_panic(values in vec(any_bits(), 512)) {
        for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
            prop_assert_eq!(round_trip(format, &values).len(), 512);
        }
        prop_assert_eq!(Nf4::quantize(&values[..511]).dequantize().len(), 511);
    }

    #[test]
    fn any_bytes_are_dequantized_without_panic(bytes in vec(any::<u8>(), 2 * 210)) {
        for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
            let whole = bytes.len() / format.block_bytes();
            let values = dequantize(format, &bytes[..whole * format.block_bytes()]).unwrap();
            prop_assert_eq!(values.len(), whole * format.block_len());
        }
    }

    #[test]
    fn a_nan_takes_a_value_of_its_block_and_leaves_the_others(mut values in group(), at in 0usize..32) {
        // A stand-in that changes neither the largest magnitude nor the range.
        values[at] = values[(at + 1) % 32];
        let mut with_nan = values;
        with_nan[at] = f32::NAN;
        for format in ONE_LEVEL {
            let (with, without) = (round_trip(format, &with_nan), round_trip(format, &values));
            prop_assert!(with[at].is_finite());
            for i in (0..32).filter(|i| *i != at) {
                prop_assert_eq!(with[i], without[i], "{:?}", format);
            }
        }
    }

    #[test]
    fn a_nan_leaves_a_k_quant_finite(mut values in block(), at in 0usize..256) {
        values[at] = f32::NAN;
        for format in TWO_LEVEL {
            prop_assert!(round_trip(format, &values).iter().all(|x| x.is_finite()), "{:?}", format);
        }
    }

    /// To f16's precision: one code is the value exactly, and its scales are the largest of their block. In Q6_K the
    /// code may be 32 times a scale that is 128 times `d`.
    #[test]
    fn equal_values_stay_equal(x in prop_oneof![-1000.0f32..-0.001, 0.001f32..1000.0]) {
        let slack = x.abs() * 2.0 * F16_RELATIVE + 32.0 * 128.0 * F16_ABSOLUTE;
        for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
            for y in round_trip(format, &[x; 256]) {
                prop_assert!((x - y).abs() <= slack, "{format:?}: {x} became {y}");
            }
        }
    }
}

/// Half the widest gap between codes, of the block's largest magnitude, plus half the widest gap of the dynamic
/// map, of the scale's scale.
fn check_nf4_errors(values: &[f32]) {
    let half_gap = |map: &[f32]| map.windows(2).fold(0.0, |gap: f32, pair| gap.max(pair[1] - pair[0])) / 2.0;
    let (code_gap, scale_gap) = (half_gap(&NF4_CODE), half_gap(dynamic_map()));
    let quantized = Nf4::quantize(values);
    for (block, (x, y)) in values.chunks(64).zip(quantized.dequantize().chunks(64)).enumerate() {
        let scale_error = scale_gap * quantized.absmax2()[block / 256];
        let bound = amax(x) * code_gap + scale_error + amax(values) * F32_ROUNDINGS;
        for (x, y) in x.iter().zip(y) {
            assert!((x - y).abs() <= bound, "block {block}: {x} became {y}, bound {bound}");
        }
    }
}

fn weighted_rms_error(x: &[f32], y: &[f32], weight: impl Fn(f32) -> f32) -> f32 {
    let (mut errors, mut weights) = (0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        errors += weight(*x) * (x - y) * (x - y);
        weights += weight(*x);
    }
    if weights == 0.0 { 0.0 } else { (errors / weights).sqrt() }
}

#[test]
fn zeros_stay_zeros() {
    for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
        assert!(round_trip(format, &[0.0; 512]).iter().all(|x| *x == 0.0), "{format:?}");
    }
    let beside_ones: Vec<f32> = (0..128).map(|i| if i < 64 { 0.0 } else { 1.0 }).collect();
    assert!(Nf4::quantize(&beside_ones).dequantize()[..64].iter().all(|x| *x == 0.0));
}

#[test]
fn subnormals_become_zeros() {
    for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
        assert!(round_trip(format, &[-1e-40; 256]).iter().all(|x| *x == 0.0), "{format:?}");
    }
}

#[test]
fn beyond_f16_a_block_is_not_finite_but_its_neighbours_are() {
    let mut values = [1.0; 512];
    values[3] = 1e9;
    for format in ONE_LEVEL.into_iter().chain(TWO_LEVEL) {
        let found = round_trip(format, &values);
        assert!(!found[3].is_finite(), "{format:?}");
        assert!(found[256..].iter().all(|x| x.is_finite()), "{format:?}");
    }
}

#[test]
fn every_256_nf4_scales_have_a_scale_of_their_own() {
    let values: Vec<f32> =
        (0..300 * 64).map(|i| (i * i % 1009) as f32 * (1 + i / (256 * 64) * 99) as f32).collect();
    let quantized = Nf4::quantize(&values);
    let (blocks, scales) = (quantized.absmax().len(), quantized.absmax2());
    assert_eq!((blocks, scales.len()), (300, 2));
    assert!(scales[1] > 2.0 * scales[0], "{scales:?}");
    check_nf4_errors(&values);
}

#[test]
fn nf4_turns_nan_into_minus_the_largest_and_spreads_infinity() {
    let found = Nf4::quantize(&[0.5, f32::NAN, -0.5, 0.5]).dequantize();
    assert_eq!(found, [0.5, -0.5, -0.5, 0.5]);
    let found = Nf4::quantize(&[0.5, f32::INFINITY, -0.5]).dequantize();
    assert!(found.iter().all(|x| !x.is_finite()), "{found:?}");
}
