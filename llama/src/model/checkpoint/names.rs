//! The tensors of a Llama model, and what GGUF calls them.
//!
//! All other code uses Hugging Face's names; only this file knows GGUF's.

use engine::LlamaConfig;

/// The modules of a decoder layer, and what GGUF calls them.
const MODULES: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The tensors of a model with their shapes, as Hugging Face's files have them. The iterator is
/// lazy, since the number of layers comes from an untrusted file.
pub(crate) fn tensors(config: &LlamaConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
    let LlamaConfig { vocab_size, hidden_size: hidden, .. } = *config;
    let named = |name: &str, shape: &[usize]| (name.to_string(), shape.to_vec());
    let table = named("model.embed_tokens.weight", &[vocab_size, hidden]);
    let layers = (0..config.num_hidden_layers).flat_map(move |index| layer(config, index));
    let head = (!config.tie_word_embeddings).then(|| named("lm_head.weight", &[vocab_size, hidden]));
    [table].into_iter().chain(layers).chain([named("model.norm.weight", &[hidden])]).chain(head)
}

/// The tensors of the decoder layer `index`.
fn layer(config: &LlamaConfig, index: usize) -> impl Iterator<Item = (String, Vec<usize>)> {
    let &LlamaConfig { hidden_size: hidden, intermediate_size: intermediate, head_dim, .. } = config;
    let (queries, keys) = (config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim);
    MODULES.into_iter().flat_map(move |(module, _)| {
        let projection = module.rsplit('.').next().unwrap_or(module);
        let shape = match projection {
            "q_proj" => vec![queries, hidden],
            "k_proj" | "v_proj" => vec![keys, hidden],
            "o_proj" => vec![hidden, queries],
            "gate_proj" | "up_proj" => vec![intermediate, hidden],
            "down_proj" => vec![hidden, intermediate],
            _ => vec![hidden],
        };
        let name = |part: &str| format!("model.layers.{index}.{module}.{part}");
        let bias = config.has_bias(projection).then(|| (name("bias"), vec![shape[0]]));
        [(name("weight"), shape)].into_iter().chain(bias)
    })
}

/// Whether a tensor is a projection of a decoder layer: what QLoRA quantizes.
pub(crate) fn is_projection(name: &str) -> bool {
    name.ends_with("_proj.weight")
}

/// GGUF's name for a tensor that Hugging Face calls `name`; `None` if GGUF has no such tensor.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => Some("token_embd.weight".into()),
        "model.norm.weight" => Some("output_norm.weight".into()),
        "lm_head.weight" => Some("output.weight".into()),
        _ => {
            let (layer, module) = name.strip_prefix("model.layers.")?.split_once('.')?;
            let layer: usize = layer.parse().ok()?;
            let (module, part) =
                module.rsplit_once('.').filter(|(_, part)| ["weight", "bias"].contains(part))?;
            let (_, module) = MODULES.into_iter().find(|(known, _)| *known == module)?;
            Some(format!("blk.{layer}.{module}.{part}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated() {
        for (name, gguf) in [
            ("model.embed_tokens.weight", Some("token_embd.weight")),
            ("lm_head.weight", Some("output.weight")),
            ("model.layers.0.self_attn.q_proj.weight", Some("blk.0.attn_q.weight")),
            ("model.layers.31.mlp.down_proj.weight", Some("blk.31.ffn_down.weight")),
            ("model.layers.3.post_attention_layernorm.weight", Some("blk.3.ffn_norm.weight")),
            ("model.layers.x.mlp.down_proj.weight", None),
            ("model.layers.1.self_attn.q_proj.bias", Some("blk.1.attn_q.bias")),
            ("model.layers.1.self_attn.q_proj.scale", None),
            ("model.layers.1.self_attn.qkv_proj.weight", None),
            ("something.else", None),
        ] {
            assert_eq!(gguf_name(name).as_deref(), gguf, "{name}");
        }
    }
}
