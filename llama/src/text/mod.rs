//! Text to token ids and back: tokenizers, chat templates, prompts, and the texts that end an answer.

pub(crate) mod chat_template;
pub(crate) mod prompt;
pub(crate) mod stop_strings;
pub(crate) mod tokenizer;
