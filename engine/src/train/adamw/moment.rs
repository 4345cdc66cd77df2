//! A moment of the optimizer between two steps: in 32 bits, or in 8.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::ops::host_values::host_values;
use crate::quant::DynamicMap;

/// So many numbers in a row share a scale.
const BLOCK: usize = 256;
/// Moments of smaller parameters stay in 32 bits, as in bitsandbytes (`min_8bit_size`).
const MIN_8BIT_SIZE: usize = 4096;

/// Endings of a moment's parts in 8 bits.
const CODES: &str = ".codes";
const ABSMAX: &str = ".absmax";

/// The running mean of a parameter's gradients, or of their squares.
#[allow(clippy::large_enum_variant)] // with GPU backends a handle of burn's is large
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    /// As it is.
    Full(Tensor<2>),
    /// In 8 bits.
    Blockwise(Blockwise),
}

/// Numbers in 8 bits: `values[i] = map[codes[i]] · absmax[i / 256]`.
///
/// As in bitsandbytes, but for one thing: what is above 0 does not become 0 in the unsigned map. A second
/// moment of 0 beside a first that is none makes a step of any length; bitsandbytes takes it.
///
/// Source: Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861; on zero in
/// second moments, Li et al. 2023, arXiv:2309.01507.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blockwise {
    pub map: DynamicMap,
    pub codes: Vec<u8>,
    /// The largest magnitude of each block.
    pub absmax: Vec<f32>,
    pub shape: [usize; 2],
    pub device: Device,
}

impl Moment {
    /// Keeps `values`, with `eight_bit` in the numbers of `map` unless they are few.
    pub fn new(values: Tensor<2>, map: DynamicMap, eight_bit: bool) -> Self {
        match eight_bit && values.shape().num_elements() >= MIN_8BIT_SIZE {
            true => Self::Blockwise(Blockwise::quantize(values, map)),
            false => Self::Full(values),
        }
    }

    /// Its numbers, in the parameter's shape.
    pub fn values(&self) -> Tensor<2> {
        match self {
            Self::Full(values) => values.clone(),
            Self::Blockwise(blockwise) => blockwise.dequantize(),
        }
    }

    /// Its tensors, exactly, each with the ending of its name: none, or that of the codes and
    /// of the scales.
    pub fn parts(&self) -> Vec<(&'static str, Tensor<2>)> {
        match self {
            Self::Full(values) => vec![("", values.clone())],
            Self::Blockwise(Blockwise { codes, absmax, shape, device, .. }) => {
                let codes: Vec<f32> = codes.iter().map(|&code| f32::from(code)).collect();
                let scales = TensorData::new(absmax.clone(), [1, absmax.len()]);
                vec![
                    (CODES, Tensor::from_data(TensorData::new(codes, *shape), device)),
                    (ABSMAX, Tensor::from_data(scales, device)),
                ]
            }
        }
    }

    /// The moment of a parameter of `shape` whose [`parts`](Self::parts) `take` gives by their endings; `None` if it
    /// has none, or they do not fit.
    pub fn from_parts(
        shape: [usize; 2],
        map: DynamicMap,
        mut take: impl FnMut(&str) -> Option<Tensor<2>>,
    ) -> Option<Self> {
        if let Some(values) = take("") {
            return (values.dims() == shape).then_some(Self::Full(values));
        }
        let (codes, absmax) = (take(CODES)?, take(ABSMAX)?);
        let blocks = shape.iter().product::<usize>().div_ceil(BLOCK);
        if codes.dims() != shape || absmax.dims() != [1, blocks] {
            return None;
        }
        let device = codes.device();
        let codes = host_values(codes).into_iter().map(|code| code as u8).collect();
        Some(Self::Blockwise(Blockwise { map, codes, absmax: host_values(absmax), shape, device }))
    }
}

impl Blockwise {
    fn quantize(values: Tensor<2>, map: DynamicMap) -> Self {
        let (shape, device) = (values.dims(), values.device());
        let values = host_values(values);
        let (codes, absmax): (Vec<_>, Vec<_>) = values
            .par_chunks(BLOCK)
            .map(|block| {
                let absmax = block.iter().fold(0f32, |max, x| max.max(x.abs()));
                // A block of zeros has no largest; whatever divides them, they stay zeros.
                let scale = if absmax > 0.0 { absmax } else { 1.0 };
                let code = |x: &f32| match map.nearest(x / scale) {
                    0 if map == DynamicMap::Unsigned && *x > 0.0 => 1,
                    code => code,
                };
                (block.iter().map(code).collect::<Vec<u8>>(), absmax)
            })
            .unzip();
        Self { map, codes: codes.concat(), absmax, shape, device }
    }

    fn dequantize(&self) -> Tensor<2> {
        let map = self.map.values();
        let blocks = self.codes.par_chunks(BLOCK).zip(&self.absmax);
        let values: Vec<f32> = blocks
            .flat_map_iter(|(codes, absmax)| codes.iter().map(move |code| map[usize::from(*code)] * absmax))
            .collect();
        Tensor::from_data(TensorData::new(values, self.shape), &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::every_backend::{device, on_every_backend};
    use crate::rng::mix;

    on_every_backend!(
        a_number_becomes_the_nearest_of_its_blocks,
        eight_bits_are_a_quarter_and_little_parameters_stay_whole,
    );

    fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    /// Numbers over six decades, of both signs, with a block of zeros.
    fn wide(len: usize) -> Vec<f32> {
        let unit = |i: u64| (mix(3, i) >> 40) as f32 / (1u64 << 24) as f32;
        let number = |i: u64| (unit(2 * i) - 0.5) * 10f32.powf(-6.0 * unit(2 * i + 1));
        (0..len as u64).map(|i| if (512..768).contains(&i) { 0.0 } else { number(i) }).collect()
    }

    fn a_number_becomes_the_nearest_of_its_blocks() {
        let values = wide(70 * 100);
        let squares = values.iter().map(|x| x * x).collect();
        // Half of the widest gap, which lies in the uppermost decade: 64 steps from 0.1 to 1, or 128.
        for (map, values, widest) in
            [(DynamicMap::Signed, values, 0.45 / 64.0), (DynamicMap::Unsigned, squares, 0.45 / 128.0)]
        {
            let moment = Moment::new(tensor(values.clone(), [70, 100]), map, true);
            let found = host_values(moment.values());
            for (values, found) in values.chunks(BLOCK).zip(found.chunks(BLOCK)) {
                let largest = values.iter().fold(0f32, |max, x| max.max(x.abs()));
                for (x, y) in values.iter().zip(found) {
                    let error = (x - y).abs();
                    let least = map
                        .values()
                        .iter()
                        .fold(f32::INFINITY, |min, code| min.min((x - code * largest).abs()));
                    assert!(error <= least + 1e-6 * largest, "{x} {y}");
                    assert!(error <= 1.001 * widest * largest, "{x} {y}");
                    assert!(*x == 0.0 || *y != 0.0 || map == DynamicMap::Signed, "{x} became 0");
                }
            }
        }
    }

    fn eight_bits_are_a_quarter_and_little_parameters_stay_whole() {
        let moment = |rows| Moment::new(tensor(wide(rows * 64), [rows, 64]), DynamicMap::Signed, true);
        let Moment::Blockwise(Blockwise { codes, absmax, .. }) = moment(100) else { panic!("in 32 bits") };
        assert_eq!((codes.len(), absmax.len()), (6400, 25));
        assert!(matches!(moment(64), Moment::Blockwise(_)), "of 4096 numbers");
        assert!(matches!(moment(63), Moment::Full(_)));
        let whole = Moment::new(tensor(wide(6400), [100, 64]), DynamicMap::Signed, false);
        assert_eq!(host_values(whole.values()), wide(6400));
    }
}
