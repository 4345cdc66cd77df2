//! The project's ops on burn's CPU backend: each hands its tensors' memory to a kernel.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::flex;
use super::matmul::dispatch::has_integer;
use crate::ops::causal::CausalOps;
use crate::ops::dense::DenseOps;
use crate::ops::dropout::Mask;
use crate::ops::fused::FusedOps;
use crate::ops::lora::{LoraOps, LoraPart, LoraParts};
use crate::ops::matrices::Matrices;
use crate::ops::paged::{DevicePages, PagedOps};
use crate::ops::quantized::{Arithmetic, QuantizedOps};
use crate::quant::Layout;

impl QuantizedOps for Flex {
    fn dequantize_packed(words: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        flex::dequantize(&words, layout)
    }

    fn dequantize_rows(words: IntTensor<Self>, ids: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        flex::dequantize_rows(&words, &ids, layout)
    }

    fn quantized_matmul(
        x: FloatTensor<Self>,
        matrices: Matrices<Self>,
        arithmetic: Arithmetic,
    ) -> Vec<FloatTensor<Self>> {
        let integer = |layout: Layout| arithmetic == Arithmetic::Integer && has_integer(layout.format());
        let rounded_alike = |(_, layout): &(_, Layout)| {
            let first = matrices.0[0].1.format();
            integer(*layout) && layout.format().has_super_blocks() == first.has_super_blocks()
        };
        if matrices.0.iter().all(rounded_alike) {
            return flex::integer_matmul(&x, matrices.0);
        }
        let one = |(words, layout)| match integer(layout) {
            true => flex::integer_matmul(&x, vec![(words, layout)]).remove(0),
            false => flex::exact_matmul(&x, &words, layout),
        };
        matrices.0.into_iter().map(one).collect()
    }

    fn quantized_matmul_transposed(
        dy: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: Layout,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self> {
        flex::matmul_transposed(&dy, &words, layout, arithmetic)
    }
}

impl DenseOps for Flex {
    fn dense_matmul(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::dense_matmul(&x, &weight)
    }

    fn dense_matmul_transposed(dy: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::dense_matmul_transposed(&dy, &weight)
    }
}

impl LoraOps for Flex {
    fn lora(y: FloatTensor<Self>, x: FloatTensor<Self>, parts: LoraParts<Self>) -> FloatTensor<Self> {
        flex::lora(y, &x, &parts.0)
    }

    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
        dropout: Option<Mask>,
        by_x: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>) {
        let part = LoraPart { rows: None, a, b, factor: None, scale, dropout };
        flex::lora_backward(&dy, &x, &part, by_x)
    }
}

impl FusedOps for Flex {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        flex::rms_norm(&x, &weight, eps)
    }

    fn rms_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        flex::rms_norm_backward(&dy, &x, &weight, eps)
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::swiglu(&gate, &up)
    }

    fn swiglu_backward(
        dy: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        flex::swiglu_backward(&dy, &gate, &up)
    }

    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        flex::dropout(&x, mask)
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: Arc<Vec<u32>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        flex::cross_entropy(logits, &targets)
    }

    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::rotary(&x, &cos, &sin)
    }
}

impl PagedOps for Flex {
    fn cache_write(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        flex::cache_write(keys, values, &k, &v, &pages.host)
    }

    fn paged_attention(
        q: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        flex::paged_attention(&q, &keys, &values, &pages.host)
    }
}

impl CausalOps for Flex {
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        flex::causal_attention(&q, &k, &v, &pages.host)
    }

    fn causal_attention_backward(
        dy: FloatTensor<Self>,
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        y: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        flex::causal_attention_backward([&q, &k, &v, &y, &dy], &pages.host)
    }
}
