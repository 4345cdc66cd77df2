//! The project's ops on burn's GPU backend.

use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn_cubecl::CubeBackend;

use super::{cache, elementwise, quantized};
use crate::ops::causal::CausalOps;
use crate::ops::dense::DenseOps;
use crate::ops::dropout::Mask;
use crate::ops::fused::FusedOps;
use crate::ops::lora::LoraOps;
use crate::ops::matrices::Matrices;
use crate::ops::paged::{DevicePages, PagedOps};
use crate::ops::quantized::{Arithmetic, QuantizedOps};
use crate::quant::Layout;

/// Rows from which a product multiplies by the dequantized matrix: the kernel unpacks each weight anew for 8 rows.
const MANY_ROWS: usize = 64;

impl QuantizedOps for CubeBackend {
    fn dequantize_packed(words: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        quantized::dequantize(&words, layout)
    }

    fn dequantize_rows(words: IntTensor<Self>, ids: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        quantized::dequantize_rows(&words, &ids, layout)
    }

    fn quantized_matmul(
        x: FloatTensor<Self>,
        matrices: Matrices<Self>,
        _arithmetic: Arithmetic,
    ) -> Vec<FloatTensor<Self>> {
        let [tokens, _] = x.shape().dims();
        let largest = x.client.properties().memory.max_page_size as usize;
        let product = |(words, layout): (IntTensor<Self>, Layout)| {
            let fits = layout.rows() * layout.cols() * size_of::<f32>() <= largest;
            match tokens >= MANY_ROWS && fits {
                true => Self::dense_matmul(x.clone(), quantized::dequantize(&words, layout)),
                false => quantized::matmul(&x, &words, layout),
            }
        };
        matrices.0.into_iter().map(product).collect()
    }
}

impl FusedOps for CubeBackend {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        elementwise::rms_norm(&x, &weight, eps)
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::swiglu(&gate, &up)
    }

    fn dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        elementwise::dropout(&x, mask)
    }

    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::rotary(&x, &cos, &sin)
    }
}

impl PagedOps for CubeBackend {
    fn cache_write(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let places = cache::Places { tokens: &pages.tokens, blocks: &pages.blocks };
        cache::write(keys, values, &k, &v, &places)
    }

    fn paged_attention(
        q: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        pages: DevicePages<Self>,
    ) -> FloatTensor<Self> {
        let places = cache::Places { tokens: &pages.tokens, blocks: &pages.blocks };
        cache::attention(&q, &keys, &values, &places, pages.host.window())
    }
}

impl DenseOps for CubeBackend {}
impl LoraOps for CubeBackend {}
impl CausalOps for CubeBackend {}
