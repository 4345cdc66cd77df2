//! Adapters with whole matrices of the base in their files, as PEFT writes them.

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;

use super::*;

/// Adds tensors to an adapter's file.
fn add(adapter: &Path, more: &[(&str, Dtype, [usize; 2], Vec<u8>)]) {
    let file = adapter.join("adapter_model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let mut views: Vec<(String, TensorView<'_>)> = stored.tensors();
    for (name, dtype, shape, bytes) in more {
        views.push((name.to_string(), TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    }
    let written = ::safetensors::serialize(views, None).unwrap();
    fs::write(&file, written).unwrap();
}

#[test]
fn whole_matrices_that_equal_the_bases_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_model(&path("model"), |_, _| {});
    let base = values(&path("model"));
    let of = |name: &str| base.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let (table, head) = (of("model.embed_tokens.weight"), of("lm_head.weight"));
    let mut trained = head.clone();
    trained[7] += 0.25;
    let f32 = |values: &[f32]| Float::F32.encode(values);
    let prefix = "base_model.model.";
    let shape = [260, 64];
    let merged = |more: &[(&str, Dtype, [usize; 2], Vec<u8>)]| {
        let adapter = path("adapter");
        write_adapter(&adapter, 2, 64);
        let named: Vec<_> = more.iter().map(|(name, ..)| format!("{prefix}{name}")).collect();
        let more: Vec<_> = more
            .iter()
            .zip(&named)
            .map(|((_, dtype, shape, bytes), name)| (name.as_str(), *dtype, *shape, bytes.clone()))
            .collect();
        add(&adapter, &more);
        let config = adapter.join("adapter_config.json");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]"))
            .unwrap();
        Export::open(&path("model"), Some(&adapter))
            .map(|export| export.source.values("lm_head.weight", &shape).unwrap())
    };
    for more in [
        vec![("lm_head.weight", Dtype::F32, shape, f32(&head))],
        vec![("model.embed_tokens.base_layer.weight", Dtype::F32, shape, f32(&table))],
        // Rounded as it was saved.
        vec![("lm_head.modules_to_save.default.weight", Dtype::BF16, shape, Float::BF16.encode(&head))],
        vec![
            ("lm_head.weight", Dtype::F16, shape, Float::F16.encode(&head)),
            ("model.embed_tokens.weight", Dtype::F32, shape, f32(&table)),
        ],
    ] {
        assert_eq!(merged(&more).unwrap(), head);
    }
    for (more, reason) in [
        (("lm_head.weight", Dtype::F32, shape, f32(&trained)), "differs from the base's `lm_head.weight`"),
        (("lm_head.weight", Dtype::F32, shape, f32(&table)), "differs from the base's `lm_head.weight`"),
        (
            ("lm_head.weight", Dtype::F32, [259, 64], f32(&head[64..])),
            "has the shape [259, 64], and the base's",
        ),
        (("model.norm.weight", Dtype::F32, [1, 64], f32(&[1.0; 64])), "is not a projection's lora_A"),
    ] {
        let error = merged(&[more]).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // A quantized base cannot tell.
    open(&path("model")).write_gguf(&path("q.gguf"), Recipe::Q8_0, &mut quiet()).unwrap();
    write_adapter(&path("adapter"), 2, 64);
    add(&path("adapter"), &[("base_model.model.lm_head.weight", Dtype::F32, shape, f32(&head))]);
    let error = Export::open(&path("q.gguf"), Some(&path("adapter"))).unwrap_err().to_string();
    assert!(error.contains("which is quantized; use the base in 16 or 32 bits"), "{error}");
}

#[test]
fn ranks_and_scales_of_their_own_are_merged() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    let config = path("adapter/adapter_config.json");
    let text = fs::read_to_string(&config).unwrap();
    let merged = |patterns: &str| {
        fs::write(
            &config,
            text.replace("\"alpha_pattern\": {}", &format!("\"alpha_pattern\": {{{patterns}}}")),
        )
        .unwrap();
        let export = Export::open(&path("model"), Some(&path("adapter"))).unwrap();
        export.source.values(&format!("{MODULE}.weight"), &[64, 64]).unwrap()
    };
    let base = open(&path("model")).source.values(&format!("{MODULE}.weight"), &[64, 64]).unwrap();
    let (plain, halved) = (merged(""), merged("\"layers.1.self_attn.q_proj\": 8"));
    for ((base, plain), halved) in base.iter().zip(&plain).zip(&halved) {
        assert!((halved - base - (plain - base) / 2.0).abs() < 1e-5, "{base} {plain} {halved}");
    }
    assert_eq!(merged("\"^mlp.*\": 3"), plain, "a pattern that matches nothing");
    fs::write(&config, text.replace("\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 4}")).unwrap();
    let error = Export::open(&path("model"), Some(&path("adapter"))).unwrap_err().to_string();
    assert!(error.contains("lora_A.weight` has the shape [2, 64], but r is 4"), "{error}");
}
