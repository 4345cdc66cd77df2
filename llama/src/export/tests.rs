//! A small random model through every form and back.

use std::fs;
use std::path::Path;

use ::safetensors::tensor::Dtype;
use burn::tensor::{Tensor, TensorData};
use engine::quant::{Nf4, dequantize, quantize};
use engine::{LoraConfig, LoraWeights, device};
use serde_json::json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

mod adapters;
mod checked;
mod not_finite;

use super::*;
use crate::adapter::Adapter;
use crate::files::safetensors::SafetensorsWriter;
use crate::model::checkpoint::names;
use crate::text::chat_template::ChatTemplate;

const MODULE: &str = "model.layers.1.self_attn.q_proj";
const TEXT: &str = "Hello there, 42!<|im_end|>";

/// Writes a model of two layers in f32, untied, with rows of 64 and of 96, and its values by name.
fn write_model(folder: &Path, changed: impl Fn(&str, &mut [f32])) {
    fs::create_dir_all(folder).unwrap();
    let put = |name: &str, json: serde_json::Value| fs::write(folder.join(name), json.to_string()).unwrap();
    put(
        "config.json",
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 260, "hidden_size": 64,
            "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
            "rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "eos_token_id": 256, "torch_dtype": "float32",
        }),
    );
    let mut letters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    letters.sort_unstable();
    let mut vocabulary: serde_json::Map<String, serde_json::Value> =
        letters.iter().zip(0..).map(|(letter, id)| (letter.to_string(), json!(id))).collect();
    vocabulary.insert("<|im_end|>".into(), json!(256));
    vocabulary.insert("he".into(), json!(257));
    vocabulary.insert("the".into(), json!(258));
    let end = json!({
        "id": 256, "content": "<|im_end|>", "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false,
    });
    put(
        "tokenizer.json",
        json!({
            "version": "1.0", "added_tokens": [end],
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "vocab": vocabulary, "merges": [["h", "e"], ["t", "he"]] },
        }),
    );
    put("tokenizer_config.json", json!({ "eos_token": "<|im_end|>", "chat_template": "{{ messages }}" }));

    let (_, config) = crate::model::config::from_json(&folder.join("config.json")).unwrap();
    let tensors: Vec<_> = names::tensors(&config).collect();
    let layout = tensors.iter().map(|(name, shape)| (name.clone(), Dtype::F32, shape.clone())).collect();
    let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), layout).unwrap();
    let mut state = 1u32;
    for (name, shape) in tensors {
        let noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut values: Vec<f32> = (0..shape.iter().product::<usize>()).map(noise).collect();
        changed(&name, &mut values);
        writer.write(&name, &Float::F32.encode(&values)).unwrap();
    }
    writer.finish().unwrap();
}

/// Writes an adapter on the query projections and returns its pair for [`MODULE`].
fn write_adapter(folder: &Path, layers: usize, inputs: usize) -> [Vec<f32>; 2] {
    let device = device::parse(device::AVAILABLE[0]).unwrap();
    let wave = |count: usize, step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
    let [a, b] = [wave(2 * inputs, 0.7), wave(64 * 2, 0.3)];
    let tensor = |values: &[f32], shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device)
    };
    let pair = |layer| LoraWeights {
        module: format!("model.layers.{layer}.self_attn.q_proj"),
        a: tensor(&a, [2, inputs]),
        b: tensor(&b, [64, 2]),
        magnitude: None,
    };
    let target_modules = vec!["q_proj".into()];
    let config = LoraConfig { r: 2, lora_alpha: 16.0, target_modules, ..LoraConfig::default() };
    let weights = (0..layers).map(pair).collect();
    let chat_template = Some("### {{ messages }}".to_string());
    Adapter { config, weights, base_model: None, chat_template }.save(folder).unwrap();
    [a, b]
}

/// A folder with the model in `model` and the adapter in `adapter`.
fn workshop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_model(&dir.path().join("model"), |_, _| {});
    write_adapter(&dir.path().join("adapter"), 2, 64);
    dir
}

fn open(path: &Path) -> Export {
    Export::open(path, None).unwrap()
}

/// All tensors of a model as f32.
fn values(path: &Path) -> Vec<(String, Vec<f32>)> {
    let source = open(path).source;
    let read = |(name, shape): (String, Vec<usize>)| {
        let values = source.values(&name, &shape).unwrap();
        (name, values)
    };
    source.tensors().into_iter().map(read).collect()
}

fn quiet() -> impl FnMut(usize, usize) {
    |_, _| {}
}

fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_merged_weight_is_the_base_and_the_scaled_product() {
    let dir = tempfile::tempdir().unwrap();
    write_model(&dir.path().join("model"), |_, _| {});
    let [a, b] = write_adapter(&dir.path().join("adapter"), 2, 64);
    let export = Export::open(&dir.path().join("model"), Some(&dir.path().join("adapter"))).unwrap();
    let output = dir.path().join("merged");
    let mut told = Vec::new();
    export.write_folder(&output, None, &mut |done, all| told.push((done, all))).unwrap();
    assert_eq!((told.first(), told.last()), (Some(&(1, 21)), Some(&(21, 21))));

    for ((name, base), (_, merged)) in values(&dir.path().join("model")).iter().zip(values(&output)) {
        if !name.ends_with(".q_proj.weight") {
            assert_eq!(*base, merged, "{name}");
        }
        if *name != format!("{MODULE}.weight") {
            continue;
        }
        for (at, (base, merged)) in base.iter().zip(merged).enumerate() {
            let (row, col) = (at / 64, at % 64);
            let update = 8.0 * (b[2 * row] * a[col] + b[2 * row + 1] * a[64 + col]);
            assert!((base + update - merged).abs() < 1e-5, "{name} {row} {col}");
        }
    }
    let template = fs::read_to_string(output.join("chat_template.jinja")).unwrap();
    assert_eq!(template, "### {{ messages }}", "the adapter's prompts");
    assert_eq!(names_in(dir.path()), ["adapter", "merged", "model"]);
}

#[test]
fn a_merged_folder_says_what_it_holds() {
    let dir = workshop();
    for (dtype, name) in [(Float::F16, "float16"), (Float::BF16, "bfloat16"), (Float::F32, "float32")] {
        let output = dir.path().join(name);
        open(&dir.path().join("model")).write_folder(&output, Some(dtype), &mut quiet()).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(output.join("config.json")).unwrap()).unwrap();
        assert_eq!((&config["torch_dtype"], &config["eos_token_id"]), (&json!(name), &json!(256)));
        let files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        assert_eq!(names_in(&output), files);
        for ((name, base), (_, written)) in values(&dir.path().join("model")).iter().zip(values(&output)) {
            assert_eq!(dtype.decode(&dtype.encode(base)), written, "{name}");
        }
    }
}

#[test]
fn every_recipe_is_read_as_it_was_quantized() {
    let dir = workshop();
    let model = dir.path().join("model");
    let export = open(&model);
    let expected = values(&model);
    for recipe in Recipe::ALL {
        let output = dir.path().join(format!("{}.gguf", recipe.name()));
        export.write_gguf(&output, recipe, &mut quiet()).unwrap();
        let written = open(&output);
        let config = written.source.checkpoint.config();
        assert_eq!(config, export.source.checkpoint.config());
        for ((name, shape), ((_, expected), (_, found))) in
            export.source.tensors().iter().zip(expected.iter().zip(values(&output)))
        {
            let expected = match recipe.storage(name, shape, config) {
                Storage::Float(float) => float.decode(&float.encode(expected)),
                Storage::Blocks(format) => dequantize(format, &quantize(format, expected).unwrap()).unwrap(),
            };
            assert!(expected == found, "{recipe:?} {name}");
        }
        let gguf = written.source.checkpoint.gguf().unwrap();
        let file_type = gguf.metadata("general.file_type").and_then(|value| value.as_u64());
        assert_eq!(file_type, Some(recipe.file_type().into()));
        let [ours, theirs] = [&written, &export].map(|export| export.tokenizer().unwrap());
        assert_eq!(ours.encode(TEXT, true).unwrap(), theirs.encode(TEXT, true).unwrap());
        assert_eq!(ours.encode_with_control(TEXT).unwrap(), theirs.encode_with_control(TEXT).unwrap());
        assert_eq!((ours.bos(), ours.eos(), ours.vocab_size()), (None, theirs.eos(), 260));
        let template = ChatTemplate::from_gguf(gguf, "", "").unwrap().unwrap();
        assert_eq!(template.source(), "{{ messages }}");

        let again = dir.path().join("again.gguf");
        written.write_gguf(&again, recipe, &mut quiet()).unwrap();
        assert!(fs::read(&again).unwrap() == fs::read(&output).unwrap(), "{recipe:?} is copied");
    }
}

#[test]
fn a_gguf_with_an_adapter_becomes_a_folder() {
    let dir = workshop();
    let (gguf, output) = (dir.path().join("model.gguf"), dir.path().join("merged"));
    open(&dir.path().join("model")).write_gguf(&gguf, Recipe::Q4_1, &mut quiet()).unwrap();
    let export = Export::open(&gguf, Some(&dir.path().join("adapter"))).unwrap();
    export.write_folder(&output, Some(Float::F32), &mut quiet()).unwrap();

    let merged = open(&output);
    assert_eq!(merged.source.checkpoint.config(), export.source.checkpoint.config());
    for (name, shape) in export.source.tensors() {
        let expected = export.source.values(&name, &shape).unwrap();
        assert!(merged.source.values(&name, &shape).unwrap() == expected, "{name}");
    }
    let [ours, theirs] = [&merged, &export].map(|export| export.tokenizer().unwrap());
    assert_eq!(ours.encode_with_control(TEXT).unwrap(), theirs.encode_with_control(TEXT).unwrap());
    assert_eq!((ours.bos(), ours.eos()), (theirs.bos(), theirs.eos()));

    let with_adapter = dir.path().join("adapted.gguf");
    export.write_gguf(&with_adapter, Recipe::F16, &mut quiet()).unwrap();
    let adapted = open(&with_adapter);
    let template =
        ChatTemplate::from_gguf(adapted.source.checkpoint.gguf().unwrap(), "", "").unwrap().unwrap();
    assert_eq!(template.source(), "### {{ messages }}");
}

#[test]
fn nf4_is_read_as_it_was_quantized() {
    let dir = workshop();
    let (model, output) = (dir.path().join("model"), dir.path().join("nf4"));
    open(&model).write_nf4(&output, &mut quiet()).unwrap();
    let checkpoint = Checkpoint::open(&output).unwrap();
    assert!(checkpoint.is_quantized());
    for ((name, expected), (_, found)) in values(&model).iter().zip(values(&output)) {
        match names::is_projection(name) {
            true => assert!(Nf4::quantize(expected).dequantize() == found, "{name}"),
            false => assert!(*expected == found, "{name}"),
        }
    }
    // A model in NF4 is itself a source; what is not asked for otherwise becomes f16.
    open(&output).write_folder(&dir.path().join("plain"), None, &mut quiet()).unwrap();
    let config = fs::read_to_string(dir.path().join("plain/config.json")).unwrap();
    assert!(config.contains("\"float16\"") && !config.contains("quantization_config"), "{config}");
}

#[test]
fn what_is_wrong_is_named_and_leaves_nothing() {
    let dir = workshop();
    let path = |name: &str| dir.path().join(name);
    write_model(&path("large"), |name, values| {
        if name.ends_with("1.mlp.up_proj.weight") {
            values[7] = 7e4;
        }
    });
    write_model(&path("infinite"), |name, values| {
        if name.ends_with("0.mlp.down_proj.weight") {
            values[7] = f32::INFINITY;
        }
    });
    write_adapter(&path("narrow"), 2, 32);
    write_adapter(&path("deep"), 3, 64);
    write_adapter(&path("shallow"), 1, 64);
    open(&path("model")).write_gguf(&path("model.gguf"), Recipe::F16, &mut quiet()).unwrap();
    let before = names_in(dir.path());

    for (adapter, reason) in [
        ("narrow", "`model.layers.0.self_attn.q_proj` is [64, 64] and the adapter's [64, 32]"),
        ("deep", "does not fit the model: it has no `model.layers.2.self_attn.q_proj`"),
        ("shallow", "it has 1 projections; q_proj in the model's 2 layers are 2"),
        ("none", "none: there is no such folder"),
    ] {
        let error = Export::open(&path("model"), Some(&path(adapter))).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let gguf = |model: &str, output: &str| {
        open(&path(model)).write_gguf(&path(output), Recipe::Q4_0, &mut quiet()).unwrap_err().to_string()
    };
    assert!(gguf("large", "new.gguf").contains("up_proj.weight` holds 7e4, more than 16-bit numbers reach"));
    assert!(gguf("infinite", "new.gguf").contains("down_proj.weight` holds values that are not finite"));
    assert!(gguf("model.gguf", "model.gguf").contains("model.gguf: is the model itself"));
    assert!(gguf("model", "absent/new.gguf").contains("absent/new.gguf: No such file"));
    let folder = |model: &str, output: &str, dtype| {
        let written = open(&path(model)).write_folder(&path(output), Some(dtype), &mut quiet());
        written.unwrap_err().to_string()
    };
    assert!(folder("large", "new", Float::F16).contains("try bf16 or f32"));
    assert!(folder("model", "adapter", Float::F16).contains("adapter: is not empty"));
    assert!(folder("model", "model.gguf/x", Float::F16).contains("model.gguf/x: Not a directory"));
    let error = open(&path("infinite")).write_nf4(&path("new"), &mut quiet()).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
    assert_eq!(names_in(dir.path()), before);
}
