//! How rows are written as prompts.

use std::str::FromStr;

use super::pair_template::PairTemplate;
use crate::text::chat_template::{ChatTemplate, TemplateError, Transcriber};
use crate::text::tokenizer::Tokenizer;

/// A way to write prompts, as a person asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptFormat {
    /// The checkpoint's chat template.
    Chat,
    /// This Jinja chat template.
    Jinja(String),
    /// A prompt of one question.
    Pair(PairTemplate),
}

/// A [`PromptFormat`] prepared for one model.
#[derive(Debug, Clone)]
pub enum Prompts {
    /// One question and its answer.
    Pair(PairTemplate),
    /// Conversations.
    Chat(Transcriber),
}

impl FromStr for PromptFormat {
    type Err = String;

    /// Reads `plain` ([`PairTemplate::grounded`]), `chat`, a Jinja template (a text with `{{` or `{%`),
    /// or a [`PairTemplate`].
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Pair(PairTemplate::grounded())),
            "chat" => Ok(Self::Chat),
            _ if text.contains("{{") || text.contains("{%") => Ok(Self::Jinja(text.into())),
            _ => text.parse().map(Self::Pair),
        }
    }
}

impl PromptFormat {
    /// The format whose [`Prompts::chat_template`] is `source`, so that prompts are written as they were
    /// where an adapter was trained that has it beside it.
    pub fn of_chat_template(source: &str) -> Self {
        PairTemplate::from_chat_template(source).map_or_else(|| Self::Jinja(source.into()), Self::Pair)
    }

    /// Takes what the format needs of a model: its tokenizer's special tokens and its chat template, which takes
    /// `moment` (in seconds since 1970) for now, or the present if there is none.
    ///
    /// # Errors
    /// If a template is no Jinja, or the model has none where the chat format is asked for.
    pub fn prompts(
        &self,
        tokenizer: &Tokenizer,
        chat_template: Option<&ChatTemplate>,
        moment: Option<u64>,
    ) -> Result<Prompts, TemplateError> {
        let spelled = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
        let template = match self {
            Self::Pair(template) => return Ok(Prompts::Pair(template.clone())),
            Self::Chat => chat_template.cloned().ok_or(TemplateError::Missing)?,
            Self::Jinja(source) => {
                let eos = tokenizer.eos().first().copied();
                ChatTemplate::new(source, &spelled(tokenizer.bos()), &spelled(eos))?
            }
        };
        let template = moment.into_iter().fold(template, ChatTemplate::at);
        Ok(Prompts::Chat(Transcriber::new(template)?))
    }
}

impl Prompts {
    /// The Jinja chat template that goes beside an adapter. Where the tokenizer starts every text with
    /// BOS (`starts_with_bos`), that of a pair does; a conversation's says itself how it starts.
    pub fn chat_template(&self, starts_with_bos: bool) -> String {
        match self {
            Self::Pair(template) => template.chat_template(starts_with_bos),
            Self::Chat(transcriber) => transcriber.template().source().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        assert_eq!("plain".parse(), Ok(PromptFormat::Pair(PairTemplate::grounded())));
        assert_eq!("chat".parse(), Ok(PromptFormat::Chat));
        assert_eq!("{{ messages }}".parse(), Ok(PromptFormat::Jinja("{{ messages }}".into())));
        assert_eq!("{instruction}".parse(), Ok(PromptFormat::Pair("{instruction}".parse().unwrap())));
        assert!("chatml".parse::<PromptFormat>().unwrap_err().contains("{instruction}"));
        assert!("{instruction}{response}".parse::<PromptFormat>().unwrap_err().contains("`{response}`"));
    }
}
