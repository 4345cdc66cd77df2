//! Grouped-query attention of one sequence's tokens over its keys and values.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation::softmax};

/// Attention of consecutive tokens over the keys and values they may see.
///
/// `y = softmax(q · kᵀ / sqrt(head_dim)) · v`, hidden positions left out of the softmax
///
/// Where:
/// - query head `h` reads key/value head `h / (heads / kv_heads)`
///
/// # Shapes
/// - `q`: `[tokens, heads, head_dim]`
/// - `k`, `v`: `[context, kv_heads, head_dim]`
/// - `hidden`: `[tokens, context]`, true where a token must not look
/// - returns `[tokens, heads, head_dim]`
///
/// Source: Ainslie et al. 2023, arXiv:2305.13245.
pub(crate) fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    hidden: Option<Tensor<2, Bool>>,
) -> Tensor<3> {
    let [tokens, heads, head_dim] = q.dims();
    let [context, kv_heads, _] = k.dims();
    let group = heads / kv_heads;

    let q = q.reshape([tokens, kv_heads, group, head_dim]).permute([1, 2, 0, 3]); // [kv_heads, group, tokens, head_dim]
    let q = q.reshape([kv_heads, group * tokens, head_dim]);
    let scores = q.matmul(k.permute([1, 2, 0])); // [kv_heads, group * tokens, context]
    let scores = scores.div_scalar((head_dim as f32).sqrt());
    let scores = match hidden {
        None => scores,
        Some(hidden) => {
            let hidden = hidden.reshape([1, 1, tokens, context]).expand([kv_heads, group, tokens, context]);
            scores.reshape([kv_heads, group, tokens, context]).mask_fill(hidden, f32::NEG_INFINITY).reshape([
                kv_heads,
                group * tokens,
                context,
            ])
        }
    };
    let y = softmax(scores, 2).matmul(v.swap_dims(0, 1)); // [kv_heads, group * tokens, head_dim]
    y.reshape([kv_heads, group, tokens, head_dim]).permute([2, 0, 1, 3]).reshape([tokens, heads, head_dim])
}

/// What the tokens at positions `past .. past + tokens` must not see of positions `0 .. past + tokens`:
/// the future, and whatever lies `window` or more positions back. `None` if nothing is hidden.
pub(crate) fn hidden_positions(
    past: usize,
    tokens: usize,
    window: Option<usize>,
    device: &Device,
) -> Option<Tensor<2, Bool>> {
    let context = past + tokens;
    if tokens == 1 && window.is_none_or(|window| context <= window) {
        return None;
    }
    let mut hidden = Vec::with_capacity(tokens * context);
    for position in past..context {
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
        hidden.extend((0..context).map(|other| other > position || other < first));
    }
    Some(Tensor::from_data(TensorData::new(hidden, [tokens, context]), device))
}
