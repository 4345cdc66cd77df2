//! What GGUF calls the tensors of a Llama model.
//!
//! Hugging Face's names are used everywhere else; this is the only place that knows the others.

/// GGUF's name for a tensor that Hugging Face calls `name`; `None` if GGUF has no such tensor.
pub(super) fn gguf_name(name: &str) -> Option<String> {
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
