//! Dequantization of packed words with a backend's ordinary integer ops: the reference that every
//! kernel is tested against, and what a backend without kernels runs.

use std::ops::Range;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Scalar, TensorMetadata};
use burn::tensor::{FloatDType, IntDType, Shape, Slice, TensorData};

use crate::quant::formats::ScaleKind;
use crate::quant::{Layout, NF4_CODE, TILE, dynamic_map};

/// `W [rows, cols]` from packed words.
pub(crate) fn dequantize<B: Backend>(words: IntTensor<B>, layout: Layout) -> FloatTensor<B> {
    let codes = codes::<B>(&words, layout); // [padded rows, cols]
    let padded = layout.tiles() * TILE;
    let group = layout.format().group_len();
    let groups = layout.cols() / group;
    let (scale, min) = match layout.format().scale_kind() {
        ScaleKind::Nested => (nf4_scales::<B>(&words, layout), None),
        _ => affine::<B>(&words, layout),
    }; // [padded rows, groups]
    let values = match layout.format().scale_kind() {
        ScaleKind::Nested => lookup::<B>(&NF4_CODE, codes),
        _ => to_float::<B>(codes),
    };
    let values = B::float_reshape(values, Shape::new([padded, groups, group]));
    let broadcast = |t| B::float_reshape(t, Shape::new([padded, groups, 1]));
    let mut values = B::float_mul(values, broadcast(scale));
    if let Some(min) = min {
        values = B::float_add(values, broadcast(min));
    }
    let values = B::float_reshape(values, Shape::new([padded, layout.cols()]));
    B::float_slice(values, &[Slice::from(0..layout.rows() as isize), Slice::from(0..layout.cols() as isize)])
}

/// Codes as integers, `[padded rows, cols]`.
fn codes<B: Backend>(words: &IntTensor<B>, layout: Layout) -> IntTensor<B> {
    let low = match layout.format().code_bits() {
        8 => fields::<B>(words, layout.codes(), layout, 4, |p| 8 * p, 255),
        _ => fields::<B>(words, layout.codes(), layout, 8, |p| 8 * (p % 4) + 4 * (p / 4), 15),
    };
    let high = match layout.format().code_bits() {
        5 => fields::<B>(words, layout.high(), layout, 32, |p| 8 * (p % 4) + p / 4, 1),
        6 => fields::<B>(words, layout.high(), layout, 16, |p| 8 * (p % 4) + 2 * (p / 4), 3),
        _ => return low,
    };
    B::int_add(low, B::int_mul_scalar(high, Scalar::Int(16)))
}

/// Scale and minimum of every group, `[padded rows, groups]`.
fn affine<B: Backend>(words: &IntTensor<B>, layout: Layout) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
    let padded = layout.tiles() * TILE;
    let blocks = layout.blocks();
    let (d, m) = if layout.format().has_minimum() {
        let half =
            |shift| f16_to_float::<B>(fields::<B>(words, layout.scales(), layout, 1, |_| shift, 0xffff));
        (half(0), Some(half(16)))
    } else {
        // Two rows share a word: [tiles, blocks, 8 words, 2] → [tiles, blocks, 16].
        let halves =
            split::<B>(words, layout.scales(), [layout.tiles(), blocks, TILE / 2], 2, |p| 16 * p, 0xffff);
        (f16_to_float::<B>(lanes_last::<B>(halves, [layout.tiles(), blocks])), None)
    }; // [padded rows, blocks]
    let offset = Scalar::Float(-f64::from(layout.format().offset()));
    match layout.format().scale_kind() {
        ScaleKind::Half => (d.clone(), Some(B::float_mul_scalar(d, offset))),
        ScaleKind::SixBitPairs => {
            let bytes = sub_scale_bytes::<B>(words, layout); // [padded rows, blocks, 12]
            let part = |from: usize| slice_last::<B>(bytes.clone(), from..from + 4);
            let (a, b, c) = (part(0), part(4), part(8));
            let and = |t, mask| B::bitwise_and_scalar(t, Scalar::Int(mask));
            let shift = |t, by| B::bitwise_right_shift_scalar(t, Scalar::Int(by));
            let top = |t| B::int_mul_scalar(shift(t, 6), Scalar::Int(16));
            let scales = vec![and(a.clone(), 63), B::int_add(and(c.clone(), 15), top(a))];
            let minima = vec![and(b.clone(), 63), B::int_add(shift(c, 4), top(b))];
            let times = |six_bit: Vec<IntTensor<B>>, d: FloatTensor<B>| {
                let six_bit = to_float::<B>(B::int_cat(six_bit, 2)); // [padded rows, blocks, 8]
                let d = B::float_reshape(d, Shape::new([padded, blocks, 1]));
                B::float_reshape(B::float_mul(six_bit, d), Shape::new([padded, blocks * 8]))
            };
            let minimum = m.map(|m| B::float_neg(times(minima, m)));
            (times(scales, d), minimum)
        }
        ScaleKind::SignedBytes => {
            let bytes = sub_scale_bytes::<B>(words, layout); // [padded rows, blocks, 16]
            let signed = B::int_sub_scalar(
                B::bitwise_and_scalar(
                    B::int_add_scalar(int_cast_i32::<B>(bytes), Scalar::Int(128)),
                    Scalar::Int(255),
                ),
                Scalar::Int(128),
            );
            let d = B::float_reshape(d, Shape::new([padded, blocks, 1]));
            let scale = B::float_mul(to_float::<B>(signed), d);
            let scale = B::float_reshape(scale, Shape::new([padded, blocks * 16]));
            (scale.clone(), Some(B::float_mul_scalar(scale, offset)))
        }
        ScaleKind::HalfPair | ScaleKind::Nested => (d, m),
    }
}

/// `absmax` of every NF4 block, `[padded rows, blocks]`.
fn nf4_scales<B: Backend>(words: &IntTensor<B>, layout: Layout) -> FloatTensor<B> {
    let (tiles, blocks, padded) = (layout.tiles(), layout.blocks(), layout.tiles() * TILE);
    let bytes = split::<B>(words, layout.sub_scales(), [tiles, blocks, TILE / 4], 4, |p| 8 * p, 255);
    let first = lookup::<B>(dynamic_map(), lanes_last::<B>(bytes, [tiles, blocks])); // [padded rows, blocks]

    let second = layout.absmax2();
    let bits = B::int_slice(words.clone(), &[Slice::from(second.start as isize..second.end as isize)]);
    let second = from_bits::<B>(bits, 8, 23); // [scales and offset]
    let count = layout.absmax2().len() - 1;
    let offset = B::float_slice(second.clone(), &[Slice::from(count as isize..count as isize + 1)]);
    // Padding rows read the last scale; they are cut off at the end.
    let owners: Vec<i32> = (0..padded * blocks).map(|flat| ((flat / 256).min(count - 1)) as i32).collect();
    let device = words.device();
    let owners = B::int_from_data(TensorData::new(owners, [padded * blocks]), &device);
    let second = B::float_reshape(B::float_select(second, 0, owners), Shape::new([padded, blocks]));
    let offset = B::float_reshape(offset, Shape::new([1, 1]));
    B::float_add(B::float_mul(first, second), offset)
}

/// The bytes of the sub-scales, `[padded rows, blocks, words * 4]`.
fn sub_scale_bytes<B: Backend>(words: &IntTensor<B>, layout: Layout) -> IntTensor<B> {
    let (tiles, blocks, count) =
        (layout.tiles(), layout.blocks(), layout.format().scale_kind().integer_words());
    let shape = [tiles, blocks * count, TILE];
    let bytes = split::<B>(words, layout.sub_scales(), shape, 4, |p| 8 * p, 255); // [tiles, blocks * words, 16, 4]
    let bytes = B::int_permute(bytes, &[0, 2, 1, 3]);
    B::int_reshape(bytes, Shape::new([tiles * TILE, blocks, count * 4]))
}

/// Bit fields of words `[tiles][groups][16 rows]`, `per_word` columns a word: `[padded rows, columns]`.
fn fields<B: Backend>(
    words: &IntTensor<B>,
    part: Range<usize>,
    layout: Layout,
    per_word: usize,
    shift: impl Fn(usize) -> usize,
    mask: i64,
) -> IntTensor<B> {
    let groups = part.len() / (layout.tiles() * TILE);
    let fields = split::<B>(words, part, [layout.tiles(), groups, TILE], per_word, shift, mask);
    let fields = B::int_permute(fields, &[0, 2, 1, 3]); // [tiles, 16, groups, per_word]
    B::int_reshape(fields, Shape::new([layout.tiles() * TILE, groups * per_word]))
}

/// Cuts each word of `part`, seen as `shape`, into `count` fields: `[shape, count]`.
fn split<B: Backend>(
    words: &IntTensor<B>,
    part: Range<usize>,
    shape: [usize; 3],
    count: usize,
    shift: impl Fn(usize) -> usize,
    mask: i64,
) -> IntTensor<B> {
    let part = B::int_slice(words.clone(), &[Slice::from(part.start as isize..part.end as isize)]);
    let [a, b, c] = shape;
    let part = B::int_reshape(part, Shape::new([a, b, c, 1]));
    let field = |p| {
        let shifted = B::bitwise_right_shift_scalar(part.clone(), Scalar::Int(shift(p) as i64));
        B::bitwise_and_scalar(shifted, Scalar::Int(mask))
    };
    B::int_cat((0..count).map(field).collect(), 3)
}

/// `[tiles, blocks, words, fields]`, where words × fields are the 16 rows, to `[padded rows, blocks]`.
fn lanes_last<B: Backend>(fields: IntTensor<B>, [tiles, blocks]: [usize; 2]) -> IntTensor<B> {
    let lanes = B::int_reshape(fields, Shape::new([tiles, blocks, TILE]));
    B::int_reshape(B::int_permute(lanes, &[0, 2, 1]), Shape::new([tiles * TILE, blocks]))
}

fn slice_last<B: Backend>(tensor: IntTensor<B>, range: Range<usize>) -> IntTensor<B> {
    let shape = tensor.shape();
    let mut slices: Vec<Slice> = (0..shape.num_dims()).map(|d| Slice::from(0..shape[d] as isize)).collect();
    if let Some(last) = slices.last_mut() {
        *last = Slice::from(range.start as isize..range.end as isize);
    }
    B::int_slice(tensor, &slices)
}

fn int_cast_i32<B: Backend>(tensor: IntTensor<B>) -> IntTensor<B> {
    B::int_cast(tensor, IntDType::I32)
}

fn to_float<B: Backend>(tensor: IntTensor<B>) -> FloatTensor<B> {
    B::int_into_float(tensor, FloatDType::F32)
}

/// `table[codes]`.
fn lookup<B: Backend>(table: &[f32], codes: IntTensor<B>) -> FloatTensor<B> {
    let device = codes.device();
    let shape = codes.shape();
    let flat = B::int_reshape(int_cast_i32::<B>(codes), Shape::new([shape.num_elements()]));
    let table = B::float_from_data(TensorData::new(table.to_vec(), [table.len()]), &device);
    B::float_reshape(B::float_select(table, 0, flat), shape)
}

fn f16_to_float<B: Backend>(bits: IntTensor<B>) -> FloatTensor<B> {
    from_bits::<B>(bits, 5, 10)
}

/// IEEE 754 bits to their (finite) value by exact arithmetic: `±(2^m·[e > 0] + mantissa) · 2^(…)`.
fn from_bits<B: Backend>(bits: IntTensor<B>, exponent_bits: u32, mantissa_bits: u32) -> FloatTensor<B> {
    let field = |shift: u32, width: u32| {
        let shifted = B::bitwise_right_shift_scalar(bits.clone(), Scalar::Int(i64::from(shift)));
        B::bitwise_and_scalar(shifted, Scalar::Int((1 << width) - 1))
    };
    let bias = (1i32 << (exponent_bits - 1)) - 1 + mantissa_bits as i32;
    let powers: Vec<f32> = (0..1 << exponent_bits).map(|e: i32| 2f64.powi(e.max(1) - bias) as f32).collect();
    let implicit: Vec<f32> =
        (0..1 << exponent_bits).map(|e| if e > 0 { (1u32 << mantissa_bits) as f32 } else { 0.0 }).collect();
    let exponent = field(mantissa_bits, exponent_bits);
    let mantissa =
        B::float_add(to_float::<B>(field(0, mantissa_bits)), lookup::<B>(&implicit, exponent.clone()));
    let magnitude = B::float_mul(mantissa, lookup::<B>(&powers, exponent));
    let sign = lookup::<B>(&[1.0, -1.0], field(mantissa_bits + exponent_bits, 1));
    B::float_mul(magnitude, sign)
}
