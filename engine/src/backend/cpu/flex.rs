//! The kernels on flex tensors: memory in, memory out.

use std::borrow::Cow;

use burn::backend::DType;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use half::f16;
use half::vec::HalfFloatVecExt;

use super::attention::causal_backward;
use super::attention::paged::{self, Heads};
use super::dense;
use super::elementwise;
use super::matmul::exact;
use super::matmul::integer::Product;
use crate::backend::cpu::attention::cached::Cached;
use crate::ops::dropout::Mask;
use crate::ops::lora::LoraPart;
use crate::ops::paged::{BLOCK, Pages};
use crate::ops::quantized::Arithmetic;
use crate::quant::Layout;
use crate::quant::decode::dequantize_row;

/// `y = x · Wᵀ` with integer activations, for each of the matrices: `x [tokens, cols]` → `[tokens, rows]` each.
pub(crate) fn integer_matmul(x: &FlexTensor, matrices: Vec<(FlexTensor, Layout)>) -> Vec<FlexTensor> {
    let rows: Vec<usize> = matrices.iter().map(|(_, layout)| layout.rows()).collect();
    let (tokens, ys) = Product::new(&values(x), matrices).run();
    ys.into_iter().zip(rows).map(|(y, rows)| float(y, [tokens, rows])).collect()
}

/// `y = x · Wᵀ` in f32: `x [tokens, cols]` → `[tokens, rows]`.
pub(crate) fn exact_matmul(x: &FlexTensor, words: &FlexTensor, layout: Layout) -> FlexTensor {
    let y = exact::matmul(&values(x), words.storage(), layout);
    let tokens = y.len() / layout.rows();
    float(y, [tokens, layout.rows()])
}

/// `dx = dy · W`: `dy [tokens, rows]` → `[tokens, cols]`.
pub(crate) fn matmul_transposed(
    dy: &FlexTensor,
    words: &FlexTensor,
    layout: Layout,
    arithmetic: Arithmetic,
) -> FlexTensor {
    let (dy, words) = (values(dy), words.storage());
    #[cfg(target_arch = "x86_64")]
    let integer = || crate::backend::cpu::x86::matmul_transposed(&dy, words, layout);
    #[cfg(not(target_arch = "x86_64"))]
    let integer = || None;
    let dx = match arithmetic {
        Arithmetic::Integer => integer(),
        Arithmetic::Exact => None,
    };
    let dx = dx.unwrap_or_else(|| exact::matmul_transposed(&dy, words, layout));
    let tokens = dx.len() / layout.cols();
    float(dx, [tokens, layout.cols()])
}

/// `y = x · Wᵀ` of a dense `weight [rows, cols]`: `x [tokens, cols]` → `[tokens, rows]`.
pub(crate) fn dense_matmul(x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let ([tokens, cols], [rows, _]) = (x.layout().shape().dims(), weight.layout().shape().dims());
    float(dense::matmul::matmul(&values(x), &values(weight), cols), [tokens, rows])
}

/// `dx = dy · W` of a dense `weight [rows, cols]`: `dy [tokens, rows]` → `[tokens, cols]`.
pub(crate) fn dense_matmul_transposed(dy: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let ([tokens, rows], [_, cols]) = (dy.layout().shape().dims(), weight.layout().shape().dims());
    float(dense::matmul::matmul_transposed(&values(dy), &values(weight), rows), [tokens, cols])
}

/// Adds what the adapters compute from `x [tokens, in]` to the rows of `y [tokens, out]`.
pub(crate) fn lora(mut y: FlexTensor, x: &FlexTensor, parts: &[LoraPart<FlexTensor>]) -> FlexTensor {
    y = whole(y);
    let memory: Vec<_> = parts
        .iter()
        .map(|part| (values(&part.a), values(&part.b), part.factor.as_ref().map(values)))
        .collect();
    let of = |(part, (a, b, factor)): (&LoraPart<FlexTensor>, _)| lora_part(part, a, b, factor);
    let parts: Vec<_> =
        parts.iter().zip(memory.iter().map(|(a, b, f)| (&**a, &**b, f.as_deref()))).map(of).collect();
    let [_, inputs] = x.layout().shape().dims();
    dense::lora::add(y.storage_mut(), &values(x), inputs, &parts);
    y
}

/// The gradients of [`lora`] of one part by `x`, by `A` and by `B`.
pub(crate) fn lora_backward(
    dy: &FlexTensor,
    x: &FlexTensor,
    part: &LoraPart<FlexTensor>,
    by_x: bool,
) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
    let (a, b) = (values(&part.a), values(&part.b));
    let kernel = lora_part(part, &a, &b, None);
    let (dx, da, db) = dense::lora::backward(&values(dy), &values(x), &kernel, by_x);
    (dx.map(|dx| shaped(dx, x)), shaped(da, &part.a), shaped(db, &part.b))
}

fn lora_part<'a>(
    part: &LoraPart<FlexTensor>,
    a: &'a [f32],
    b: &'a [f32],
    factor: Option<&'a [f32]>,
) -> dense::lora::Part<'a> {
    let [rank, _] = part.a.layout().shape().dims();
    let LoraPart { scale, dropout, .. } = *part;
    dense::lora::Part {
        rows: part.rows.as_ref().map(|rows| rows.indices.clone()),
        a,
        b,
        factor,
        rank,
        scale,
        dropout,
    }
}

/// `W [rows, cols]` in f32. It is written column by column, 16 rows at a time as they lie in the packed
/// words, and returned as a transposed view: products read either.
pub(crate) fn dequantize(words: &FlexTensor, layout: Layout) -> FlexTensor {
    let (words, shape) = (words.storage::<u32>(), [layout.cols(), layout.rows()]);
    float(exact::columns(words, layout), shape).transpose(0, 1)
}

/// The rows `ids [n]` in f32: `[n, cols]`.
pub(crate) fn dequantize_rows(words: &FlexTensor, ids: &FlexTensor, layout: Layout) -> FlexTensor {
    let (words, ids) = (words.storage::<u32>(), ids.to_contiguous());
    let ids = ids.storage::<i32>();
    let mut values = vec![0f32; ids.len() * layout.cols()];
    for (id, out) in ids.iter().zip(values.chunks_exact_mut(layout.cols())) {
        assert!((0..layout.rows() as i32).contains(id), "row {id} of a matrix of {} rows", layout.rows());
        dequantize_row(layout, words, *id as usize, out);
    }
    float(values, [ids.len(), layout.cols()])
}

pub(crate) fn rms_norm(x: &FlexTensor, weight: &FlexTensor, eps: f32) -> FlexTensor {
    like(x, |x| elementwise::rms_norm(x, &values(weight), eps))
}

pub(crate) fn rms_norm_backward(
    dy: &FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    eps: f32,
) -> FlexTensor {
    like(dy, |dy| elementwise::rms_norm_backward(dy, &values(x), &values(weight), eps))
}

pub(crate) fn swiglu(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    like(gate, |gate| elementwise::swiglu(gate, &values(up)))
}

pub(crate) fn swiglu_backward(
    dy: &FlexTensor,
    gate: &FlexTensor,
    up: &FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (d_gate, d_up) = elementwise::swiglu_backward(&values(dy), &values(gate), &values(up));
    (shaped(d_gate, dy), shaped(d_up, dy))
}

pub(crate) fn dropout(x: &FlexTensor, mask: Mask) -> FlexTensor {
    like(x, |x| elementwise::dropout(x, mask))
}

pub(crate) fn rotary(x: &FlexTensor, cos: &FlexTensor, sin: &FlexTensor) -> FlexTensor {
    let [tokens, _, _] = x.layout().shape().dims();
    like(x, |x| elementwise::rotary(x, &values(cos), &values(sin), tokens))
}

pub(crate) fn cache_write(
    mut keys: FlexTensor,
    mut values_: FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    pages: &Pages,
) -> (FlexTensor, FlexTensor) {
    let [_, kv_heads, head_dim] = k.layout().shape().dims();
    let shape = Heads { heads: kv_heads, kv_heads, head_dim };
    let (k, v) = (values(k), values(v));
    match keys.dtype() {
        DType::F16 => {
            let [k, v] = [k, v].map(|values| Vec::<f16>::from_f32_slice(&saturated(&values)));
            paged::write(keys.storage_mut(), values_.storage_mut(), &k, &v, shape, pages);
        }
        _ => paged::write(keys.storage_mut(), values_.storage_mut(), &k, &v, shape, pages),
    }
    (keys, values_)
}

pub(crate) fn paged_attention(
    q: &FlexTensor,
    keys: &FlexTensor,
    values_: &FlexTensor,
    pages: &Pages,
) -> FlexTensor {
    let ([_, heads, head_dim], [_, kv_heads, _, _]) =
        (q.layout().shape().dims(), keys.layout().shape().dims());
    let shape = Heads { heads, kv_heads, head_dim };
    like(q, |q| paged::paged(q, Cached::of(keys), Cached::of(values_), shape, pages))
}

/// Attention of whole sequences: over a cache of their own keys and values.
pub(crate) fn causal_attention(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor, pages: &Pages) -> FlexTensor {
    let ([_, heads, head_dim], [_, kv_heads, _]) = (q.layout().shape().dims(), k.layout().shape().dims());
    let shape = Heads { heads, kv_heads, head_dim };
    let blocks: usize = pages.sequences().iter().map(|chunk| chunk.blocks.len()).sum();
    let len = blocks * BLOCK * kv_heads * head_dim;
    let (mut keys, mut values_) = (vec![0f32; len], vec![0f32; len]);
    paged::write(&mut keys, &mut values_, &values(k), &values(v), shape, pages);
    like(q, |q| paged::paged(q, Cached::F32(&keys), Cached::F32(&values_), shape, pages))
}

/// The gradients by `q`, `k` and `v` of [`causal_attention`], given them, its result and the gradient by it.
pub(crate) fn causal_attention_backward(
    [q, k, v, y, dy]: [&FlexTensor; 5],
    pages: &Pages,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let ([_, heads, head_dim], [_, kv_heads, _]) = (q.layout().shape().dims(), k.layout().shape().dims());
    let shape = Heads { heads, kv_heads, head_dim };
    let x = [q, k, v, y, dy].map(values);
    let forward = causal_backward::Forward { q: &x[0], k: &x[1], v: &x[2], y: &x[3], dy: &x[4] };
    let (dq, dk, dv) = causal_backward::backward(forward, shape, pages);
    (shaped(dq, q), shaped(dk, k), shaped(dv, v))
}

/// Logits `[targets, vocab]` to `−log softmax(logits)[target]` of every row, and its gradient.
pub(crate) fn cross_entropy(mut logits: FlexTensor, targets: &[u32]) -> (FlexTensor, FlexTensor) {
    logits = whole(logits);
    let nll = elementwise::cross_entropy(logits.storage_mut(), targets);
    let rows = nll.len();
    (FlexTensor::from_data(TensorData::new(nll, [rows])), logits)
}

/// The values, clamped to what 16 bits can hold: an infinity would spoil the sums of all tokens that see its block, even
/// with a weight of 0.
fn saturated(values: &[f32]) -> Vec<f32> {
    let largest = f16::MAX.to_f32();
    values.iter().map(|value| value.clamp(-largest, largest)).collect()
}

/// The values in row-major order, copied only where they do not lie in that order.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
    }
}

/// The tensor in memory that it fills in row-major order, copied where it is a view of other memory.
fn whole(tensor: FlexTensor) -> FlexTensor {
    match tensor.as_slice::<f32>() {
        Some(values) if values.len() == tensor.storage::<f32>().len() => tensor,
        _ => shaped(values(&tensor).into_owned(), &tensor),
    }
}

/// What `op` makes of `x`, in the shape of `x`.
fn like(x: &FlexTensor, op: impl FnOnce(&[f32]) -> Vec<f32>) -> FlexTensor {
    shaped(op(&values(x)), x)
}

fn shaped(values: Vec<f32>, like: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, like.layout().shape().clone()))
}

fn float(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    let tensor = FlexTensor::from_data(TensorData::new(values, shape));
    debug_assert_eq!(tensor.dtype(), DType::F32);
    tensor
}
