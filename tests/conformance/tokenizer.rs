//! Token ids of sentencepiece 0.2.3, transformers 4.57.1, tokenizers and llama2.c.

use std::collections::BTreeMap;

use llama::Tokenizer;
use llama::files::gguf::Gguf;
use serde::Deserialize;

use super::{Tally, json, reference, same, variable};

#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    ids: BTreeMap<String, Vec<Vec<u32>>>,
}

/// U+2581 is how sentencepiece writes a space, so a text that contains it comes back with a space.
const WRITTEN_AS_SPACE: &[&str] = &["\"▁\" decoded", "\"▁\" streamed"];

/// A text that starts with a space gets no other one before it, and loses it.
const LOSES_A_SPACE: &[&str] = &["\"▁\" decoded", "\"▁\" streamed", "\"  \" decoded", "\"  \" streamed"];

/// Texts and their ids, of one implementation; also that decoding gives the text back, at once and as
/// a stream.
fn check(
    name: &'static str,
    key: &str,
    tokenizer: &Tokenizer,
    encode: impl Fn(&str) -> Vec<u32>,
    expected_failures: &[&str],
) {
    let Some(path) = reference("tokenizer/cases.json") else { return };
    let cases: Cases = json(&path);
    let mut tally = Tally::new(name);
    for (text, expected) in cases.texts.iter().zip(&cases.ids[key]) {
        let ids = encode(text);
        tally.count(format!("{text:?}"), same(&ids, expected));
        let as_text = tokenizer.encode(text, false).unwrap();
        tally.count(format!("{text:?} decoded"), same(&tokenizer.decode(&as_text, true), text));
        let mut stream = tokenizer.stream();
        let mut streamed: String = as_text.iter().filter_map(|id| stream.push(*id)).collect();
        streamed.extend(stream.finish());
        tally.count(format!("{text:?} streamed"), same(&streamed, text));
    }
    tally.finish(expected_failures);
}

#[test]
fn sentencepiece_models_give_sentencepieces_ids() {
    for (name, key, file) in [
        ("mistral v1, tokenizer.model", "mistral_v1", "tokenizer.model.v1"),
        ("mistral v3, tokenizer.model", "mistral_v3", "mistral_instruct_tokenizer_240323.model.v3"),
    ] {
        let Some(folder) = reference("mistral_tokenizers") else { return };
        let tokenizer = Tokenizer::from_sentencepiece(&folder.join(file)).unwrap();
        let encode = |text: &str| tokenizer.encode(text, false).unwrap();
        check(name, key, &tokenizer, encode, WRITTEN_AS_SPACE);
    }
}

#[test]
fn a_text_is_written_alike_with_every_version_of_mistrals_model() {
    let Some(folder) = reference("mistral_tokenizers") else { return };
    let open = |file: &str| Tokenizer::from_sentencepiece(&folder.join(file)).unwrap();
    let v1 = open("tokenizer.model.v1");
    let v2 = open("mistral_instruct_tokenizer_240216.model.v2");
    let v3 = open("mistral_instruct_tokenizer_240323.model.v3");
    assert_eq!([v1.vocab_size(), v2.vocab_size(), v3.vocab_size()], [32000, 32768, 32768]);
    assert_eq!([v1.bos(), v2.bos(), v3.bos()], [Some(1); 3]);
    assert_eq!([v1.eos(), v2.eos(), v3.eos()], [[2]; 3]);
    let cases: Cases = json(&reference("tokenizer/cases.json").unwrap());
    let mut tally = Tally::new("mistral v2, same pieces as v3");
    for text in &cases.texts {
        let ids = [&v2, &v3].map(|tokenizer| tokenizer.encode(text, true).unwrap());
        tally.count(format!("{text:?}"), same(&ids[0], &ids[1]));
    }
    tally.finish(&[]);
}

#[test]
fn a_tokenizer_json_gives_transformers_ids() {
    let Some(folder) = reference("mistral_tokenizers/hf_v1") else { return };
    let tokenizer = Tokenizer::from_dir(&folder).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), [2].as_slice()));
    // transformers reads control tokens in any text.
    let encode = |text: &str| tokenizer.encode_with_control(text).unwrap();
    check(
        "mistral v1, tokenizer.json, legacy",
        "hf_mistral_v1_legacy_True",
        &tokenizer,
        encode,
        WRITTEN_AS_SPACE,
    );
    // Read as text, they are what sentencepiece makes of them.
    let encode = |text: &str| tokenizer.encode(text, false).unwrap();
    check("mistral v1, tokenizer.json, as text", "mistral_v1", &tokenizer, encode, WRITTEN_AS_SPACE);
}

/// What transformers makes of the same file with `legacy=False`.
#[test]
fn a_metaspace_tokenizer_json_gives_transformers_ids() {
    let Some(path) = reference("mistral_tokenizers/hf_v1/tokenizer.json") else { return };
    let mut file: serde_json::Value = json(&path);
    file["normalizer"] = serde_json::Value::Null;
    file["pre_tokenizer"] = serde_json::json!(
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let encode = |text: &str| tokenizer.encode_with_control(text).unwrap();
    check(
        "mistral v1, tokenizer.json, not legacy",
        "hf_mistral_v1_legacy_False",
        &tokenizer,
        encode,
        LOSES_A_SPACE,
    );
}

#[test]
fn a_byte_level_tokenizer_json_gives_tokenizers_ids() {
    let Some(path) = reference("tokenizer/torchtune/tokenizer.json") else { return };
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let encode = |text: &str| tokenizer.encode(text, false).unwrap();
    check("torchtune, tokenizer.json", "torchtune_llama3_style_bpe_2000", &tokenizer, encode, &[]);
}

#[derive(Deserialize)]
struct Stories {
    greedy_ids_200: Vec<u32>,
    greedy_text: String,
    vocab: Vec<serde_json::Value>,
}

#[test]
fn stories_vocabulary_reads_its_own_text() {
    let Some(folder) = reference("stories260K") else { return };
    let gguf = Gguf::open(&folder.join("stories260K-f32.gguf")).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let stories: Stories = json(&folder.join("reference.json"));
    let mut tally = Tally::new("stories260K, GGUF");
    tally.count("vocabulary", same(&tokenizer.vocab_size(), &stories.vocab.len()));
    tally.count("decode", same(&tokenizer.decode(&stories.greedy_ids_200, true), &stories.greedy_text));
    tally.count(
        "encode",
        same(&tokenizer.encode(&stories.greedy_text, true).unwrap(), &stories.greedy_ids_200),
    );
    let mut stream = tokenizer.stream();
    let streamed: String = stories.greedy_ids_200.iter().filter_map(|id| stream.push(*id)).collect();
    tally.count("stream", same(&streamed, &stories.greedy_text));
    tally.finish(&[]);
}

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
    ids: Vec<u32>,
    top10: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    id: u32,
    token: String,
}

#[derive(Deserialize)]
struct Greedy {
    user: String,
    prompt: String,
    prompt_ids: Vec<u32>,
    new_ids: Vec<u32>,
    text: String,
}

#[test]
fn smollm2s_gguf_gives_transformers_ids() {
    let Some(folder) = reference("smollm2-logits") else { return };
    let Some(path) = variable("SMOLLM2_GGUF") else { return };
    let gguf = Gguf::open(&path).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    assert_eq!(tokenizer.warnings(), [""; 0]);
    assert_eq!((tokenizer.bos(), tokenizer.eos().first()), (Some(1), Some(&2)));

    let mut tally = Tally::new("SmolLM2, GGUF, prompts.json");
    for case in json::<Vec<Prompt>>(&folder.join("prompts.json")) {
        let ids = tokenizer.encode_with_control(&case.prompt).unwrap();
        tally.count(format!("{:?}", case.prompt), same(&ids, &case.ids));
        for candidate in &case.top10 {
            let text = tokenizer.decode(&[candidate.id], false);
            tally.count(format!("token {}", candidate.id), same(&text, &candidate.token));
        }
    }
    tally.finish(&[]);

    let template = llama::ChatTemplate::from_gguf(&gguf, "<|im_start|>", "<|im_end|>").unwrap().unwrap();
    let mut tally = Tally::new("SmolLM2, GGUF, greedy.json");
    for case in json::<Vec<Greedy>>(&folder.join("greedy.json")) {
        let messages = [llama::Message::new("user", &case.user)];
        tally.count(&case.user, same(&template.render(&messages, true).unwrap(), &case.prompt));
        tally
            .count(&case.user, same(&tokenizer.encode_with_control(&case.prompt).unwrap(), &case.prompt_ids));
        tally.count(
            &case.user,
            same(&tokenizer.encode_chat(&template, &messages, true).unwrap(), &case.prompt_ids),
        );
        tally.count(&case.user, same(&tokenizer.decode(&case.new_ids, false), &case.text));
    }
    tally.finish(&[]);
}
