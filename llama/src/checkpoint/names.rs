//! The tensors of a Llama model, and what GGUF calls them.
//!
//! Hugging Face's names are used everywhere else; this is the only place that knows the others.

use engine::LlamaConfig;

/// The tensors of a model with their shapes, as Hugging Face's files have them.
pub(crate) fn tensors(config: &LlamaConfig) -> Vec<(String, Vec<usize>)> {
    let LlamaConfig { vocab_size, hidden_size: hidden, intermediate_size: intermediate, head_dim, .. } =
        *config;
    let (queries, keys) = (config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim);
    let layer = [
        ("input_layernorm", vec![hidden]),
        ("self_attn.q_proj", vec![queries, hidden]),
        ("self_attn.k_proj", vec![keys, hidden]),
        ("self_attn.v_proj", vec![keys, hidden]),
        ("self_attn.o_proj", vec![hidden, queries]),
        ("post_attention_layernorm", vec![hidden]),
        ("mlp.gate_proj", vec![intermediate, hidden]),
        ("mlp.up_proj", vec![intermediate, hidden]),
        ("mlp.down_proj", vec![hidden, intermediate]),
    ];
    let mut tensors = vec![("model.embed_tokens.weight".to_string(), vec![vocab_size, hidden])];
    for index in 0..config.num_hidden_layers {
        let named = |(module, shape): &(&str, Vec<usize>)| {
            (format!("model.layers.{index}.{module}.weight"), shape.clone())
        };
        tensors.extend(layer.iter().map(named));
    }
    tensors.push(("model.norm.weight".into(), vec![hidden]));
    if !config.tie_word_embeddings {
        tensors.push(("lm_head.weight".into(), vec![vocab_size, hidden]));
    }
    tensors
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
            let module = match module.strip_suffix(".weight")? {
                "input_layernorm" => "attn_norm",
                "self_attn.q_proj" => "attn_q",
                "self_attn.k_proj" => "attn_k",
                "self_attn.v_proj" => "attn_v",
                "self_attn.o_proj" => "attn_output",
                "post_attention_layernorm" => "ffn_norm",
                "mlp.gate_proj" => "ffn_gate",
                "mlp.up_proj" => "ffn_up",
                "mlp.down_proj" => "ffn_down",
                _ => return None,
            };
            Some(format!("blk.{layer}.{module}.weight"))
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
            ("model.layers.1.self_attn.q_proj.bias", None),
            ("something.else", None),
        ] {
            assert_eq!(gguf_name(name).as_deref(), gguf, "{name}");
        }
    }
}
