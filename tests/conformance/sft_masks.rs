//! Which tokens of a conversation are learned: axolotl's masks, and those of the PEFT run on the
//! support chats.

use llama::dataset::{Dataset, Encoded, Learn, PromptFormat, ReadOptions, Row, encode};
use llama::files::gguf::Gguf;
use llama::{ChatTemplate, Tokenizer};
use serde::Deserialize;
use serde_json::Value;

use super::{json, reference, variable};

/// A case of axolotl's: -100 is not learned.
#[derive(Deserialize)]
struct Masked {
    input_ids: Vec<u32>,
    labels: Vec<i64>,
}

/// Llama's vocabulary, as llama.cpp's sources bring it (`models/ggml-vocab-llama-spm.gguf`).
fn llama_tokenizer() -> Option<Tokenizer> {
    let gguf = Gguf::open(&variable("LLAMA_VOCAB_GGUF")?).unwrap();
    Some(Tokenizer::from_gguf(&gguf).unwrap())
}

/// The conversation of axolotl's fixtures as `template` writes it, against `file`, which may go on.
/// `ending` is put after every answer.
fn check(template: &str, file: &str, ending: &str) {
    let (Some(folder), Some(tokenizer)) = (reference("sft_masks"), llama_tokenizer()) else { return };
    let Masked { input_ids, labels } = json(&folder.join(file));
    let mut dataset = Dataset::open(&folder.join("conversation.json"), &ReadOptions::default()).unwrap();
    for message in dataset.rows[0].messages.iter_mut().filter(|message| message.role == "assistant") {
        message.content += ending;
    }
    let prompts = PromptFormat::Jinja(template.into()).prompts(&tokenizer, None, None).unwrap();
    let rows: Vec<&Row> = dataset.rows.iter().collect();
    let eos = tokenizer.eos()[0];
    let encoded = encode(&rows, &tokenizer, &prompts, eos, Learn::Response, 4096).unwrap();
    let example = &encoded.examples[0];

    let spelled = |ids: &[u32]| -> Vec<String> {
        ids.iter().map(|id| tokenizer.id_to_token(*id).unwrap_or_default()).collect()
    };
    let length = example.tokens.len();
    assert_eq!(spelled(&example.tokens), spelled(&input_ids[..length]), "{file}");
    let learned: Vec<bool> = labels.iter().map(|&label| label != -100).collect();
    let differing: Vec<usize> = (0..length).filter(|&at| example.learned[at] != learned[at]).collect();
    assert_eq!(differing, [0; 0], "{file}: tokens whose mask differs");
    println!("| {file} | {length} tokens, {} learned | as axolotl |", example.learned_tokens());
}

/// It learns a `<s>` after the last turn too, and pads.
#[test]
fn llama_2s_turns_are_learned_as_in_axolotl() {
    let system = "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being \
        safe. Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. \
        Please ensure that your responses are socially unbiased and positive in nature.\\n\\nIf a question does not make any \
        sense, or is not factually coherent, explain why instead of answering something not correct. If you don't know the \
        answer to a question, please don't share false information.";
    let template = format!(
        "{{% for m in messages %}}{{% if m.role == 'user' %}}{{{{ bos_token + '[INST] ' }}}}\
         {{% if loop.first %}}{{{{ \"<<SYS>>\\n{system}\\n<</SYS>>\\n\\n\" }}}}{{% endif %}}{{{{ m.content + ' [/INST]' }}}}\
         {{% else %}}{{{{ ' ' + m.content + ' ' + eos_token }}}}{{% endif %}}{{% endfor %}}"
    );
    check(&template, "conversation.tokenized_llama2chat.json", "");
}

/// It writes `</s>` as text before the token.
#[test]
fn vicunas_turns_are_learned_as_in_axolotl() {
    let system = "A chat between a curious user and an artificial intelligence assistant. \
        The assistant gives helpful, detailed, and polite answers to the user's questions.";
    let template = format!(
        "{{{{ bos_token }}}}{system}  {{% for m in messages %}}{{% if m.role == 'user' %}}{{{{ 'USER: ' + m.content + '  ASSISTANT:' }}}}\
         {{% else %}}{{{{ ' ' + m.content + eos_token }}}}{{% endif %}}{{% endfor %}}"
    );
    check(&template, "conversation.tokenized.json", "</s>");
}

/// The support chats as SmolLM2's template writes them.
fn support_chats(file: &str, rows: usize, learn: Learn) -> Option<Encoded> {
    let path = reference("../data/support_chats")?.join(file);
    let gguf = Gguf::open(&variable("SMOLLM2_GGUF")?).unwrap();
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, "<|im_start|>", "<|im_end|>").unwrap();
    let prompts = PromptFormat::Chat.prompts(&tokenizer, template.as_ref(), None).unwrap();
    let dataset = Dataset::open(&path, &ReadOptions::default()).unwrap();
    assert!(dataset.conversations && dataset.blank.count == 0);
    let rows: Vec<&Row> = dataset.rows.iter().take(rows).collect();
    let encoded = encode(&rows, &tokenizer, &prompts, tokenizer.eos()[0], learn, 512).unwrap();
    assert!(encoded.refused.is_empty() && encoded.examples.len() == rows.len());
    Some(encoded)
}

#[test]
fn support_chats_have_the_learned_tokens_of_the_peft_run() {
    let Some(encoded) = support_chats("validation.jsonl", 100, Learn::Response) else { return };
    let run: Value = json(&reference("support-chats-run/run.json").unwrap());
    let learned: usize = encoded.examples.iter().map(engine::Example::learned_tokens).sum();
    println!("| support chats, validation | {learned} tokens learned | as PEFT's run |");
    assert_eq!(run["before"]["tokens"], learned);
    // The run also computes what comes after the last learned token: a line end, or the start of a
    // turn that is cut off.
    let encoded = support_chats("train.jsonl", 400, Learn::All).unwrap();
    let tokens: usize = encoded.examples.iter().map(|example| example.tokens.len()).sum();
    println!("| support chats, training | {tokens} tokens of {} | |", run["tokens_trained"]);
    assert!(run["tokens_trained"].as_u64().unwrap() >= tokens as u64);
}
