//! Prompts of one question, as a text with places in it.

use std::str::FromStr;

use super::row::Pair;
use crate::text::prompt::{grounded_prompt, grounded_template, last_turn_template};
use crate::text::tokenizer::{Tokenizer, TokenizerError};

/// A prompt with places for the question and its context; the answer comes after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTemplate {
    form: TemplateForm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplateForm {
    /// [`grounded_prompt`].
    Grounded,
    Pieces(Vec<TemplatePiece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePiece {
    Text(String),
    Instruction,
    Context,
}

/// Start of the Jinja form where the tokenizer starts texts with BOS.
const BOS: &str = "{{- bos_token -}}\n";

/// What follows in the Jinja form: the last user message is the instruction and the last system message the
/// context. Where it leaves messages out, a server tells them in the last one (`ChatTemplate::fitted`).
const FIND: &str = "{%- set prompt = namespace(instruction='', context='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set prompt.context = message['content'] -%}
{%- elif message['role'] == 'user' -%}
{%- set prompt.instruction = message['content'] -%}
{%- endif -%}
{%- endfor -%}
";

impl PairTemplate {
    /// [`grounded_prompt`].
    pub fn grounded() -> Self {
        Self { form: TemplateForm::Grounded }
    }

    /// The Jinja chat template that writes the same prompts.
    pub fn chat_template(&self, starts_with_bos: bool) -> String {
        let TemplateForm::Pieces(pieces) = &self.form else { return grounded_template(starts_with_bos) };
        let mut source = if starts_with_bos { BOS.to_owned() } else { String::new() };
        source += FIND;
        for piece in pieces {
            source += &match piece {
                // A JSON string literal is a valid Jinja one.
                TemplatePiece::Text(text) => {
                    format!("{{{{- {} -}}}}\n", serde_json::Value::from(text.as_str()))
                }
                TemplatePiece::Instruction => "{{- prompt.instruction -}}\n".into(),
                TemplatePiece::Context => "{{- prompt.context -}}\n".into(),
            };
        }
        source
    }

    /// Recovers the template from `source`, if [`PairTemplate::chat_template`] wrote it.
    pub fn from_chat_template(source: &str) -> Option<Self> {
        let is_grounded = |starts_with_bos| {
            [grounded_template(starts_with_bos), last_turn_template(starts_with_bos)].contains(&source.into())
        };
        if is_grounded(false) || is_grounded(true) {
            return Some(Self::grounded());
        }
        let source = source.strip_prefix(BOS).unwrap_or(source);
        let piece = |line: &str| {
            Some(match line.strip_prefix("{{- ")?.strip_suffix(" -}}")? {
                "prompt.instruction" => TemplatePiece::Instruction,
                "prompt.context" => TemplatePiece::Context,
                text => TemplatePiece::Text(serde_json::from_str(text).ok()?),
            })
        };
        let pieces: Option<_> = source.strip_prefix(FIND)?.lines().map(piece).collect();
        Some(Self { form: TemplateForm::Pieces(pieces?) })
    }

    /// The tokens of a prompt with `answer` after it, as one text, and BOS before it. Control tokens
    /// that the template names are control tokens; in the row they are text.
    ///
    /// # Errors
    /// If the tokenizer cannot write the text.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        bos: Option<u32>,
        pair: &Pair<'_>,
        answer: &str,
    ) -> Result<Vec<u32>, TokenizerError> {
        let tokens = match &self.form {
            TemplateForm::Grounded => {
                let prompt = grounded_prompt(pair.instruction, pair.context);
                tokenizer.encode(&format!("{prompt}{answer}"), false)?
            }
            TemplateForm::Pieces(pieces) => {
                let mut text = filled(pieces, pair, |text| tokenizer.shield(text));
                text += &tokenizer.shield(answer);
                tokenizer.encode_with_control(&text)?
            }
        };
        let bos = bos.filter(|bos| tokens.first() != Some(bos));
        Ok(bos.into_iter().chain(tokens).collect())
    }
}

fn filled(pieces: &[TemplatePiece], pair: &Pair<'_>, written: impl Fn(&str) -> String) -> String {
    let text = |piece: &TemplatePiece| match piece {
        TemplatePiece::Text(text) => text.clone(),
        TemplatePiece::Instruction => written(pair.instruction),
        TemplatePiece::Context => pair.context.map(&written).unwrap_or_default(),
    };
    pieces.iter().map(text).collect()
}

impl FromStr for PairTemplate {
    type Err = String;

    /// Reads a text with `{instruction}` and perhaps `{context}`, in which `\n` stands for a line end.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.replace("\\n", "\n");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        let mut literal = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_name(name)) else {
                literal.push('{');
                rest = after;
                continue;
            };
            let piece = match name {
                "instruction" => TemplatePiece::Instruction,
                "context" => TemplatePiece::Context,
                _ => return Err(format!("`{{{name}}}` is neither {{instruction}} nor {{context}}")),
            };
            pieces.push(TemplatePiece::Text(std::mem::take(&mut literal)));
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        pieces.push(TemplatePiece::Text(literal));
        pieces.retain(|piece| *piece != TemplatePiece::Text(String::new()));
        match pieces.contains(&TemplatePiece::Instruction) {
            true => Ok(Self { form: TemplateForm::Pieces(pieces) }),
            false => Err("plain, chat, or a template with {instruction} is wanted".into()),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::chat_template::{ChatTemplate, Message};

    #[test]
    fn a_written_template_is_known_again() {
        for text in
            ["{instruction}", "Q \"{instruction}\"\\n{context}\u{2028}A:", "{context} -}}{{ {instruction}"]
        {
            let template: PairTemplate = text.parse().unwrap();
            for template in [template, PairTemplate::grounded()] {
                for starts_with_bos in [false, true] {
                    let source = template.chat_template(starts_with_bos);
                    assert_eq!(PairTemplate::from_chat_template(&source), Some(template.clone()), "{source}");
                }
            }
        }
        for starts_with_bos in [false, true] {
            let old = last_turn_template(starts_with_bos);
            assert_eq!(PairTemplate::from_chat_template(&old), Some(PairTemplate::grounded()));
        }
        let source = "{instruction}".parse::<PairTemplate>().unwrap().chat_template(false);
        for changed in [source.replace("system", "user"), source.clone() + "{{ x }}", "{{ messages }}".into()]
        {
            assert_eq!(PairTemplate::from_chat_template(&changed), None, "{changed}");
        }
    }

    fn prompt(template: &str, pair: &Pair<'_>) -> String {
        let template: PairTemplate = template.parse().unwrap();
        let TemplateForm::Pieces(pieces) = template.form else { unreachable!() };
        filled(&pieces, pair, str::to_owned)
    }

    #[test]
    fn a_template_has_places_for_question_and_context() {
        let pair = Pair { instruction: "Hi {x}", context: Some("C"), response: "A" };
        let template = r"{context}\nQ: {instruction} {} {X}\nA:";
        assert_eq!(prompt(template, &pair), "C\nQ: Hi {x} {} {X}\nA:");
        assert_eq!(prompt(template, &Pair { context: None, ..pair }), "\nQ: Hi {x} {} {X}\nA:");
    }

    #[test]
    fn the_chat_template_renders_the_prompt() {
        let template = r#"<s>"{context}"\n'Q': {instruction}\n "#;
        let messages = [Message::new("system", "C"), Message::new("user", "\"Q\"\n")];
        let pair = Pair { instruction: "\"Q\"\n", context: Some("C"), response: "" };
        let rendered = |bos| {
            let source = template.parse::<PairTemplate>().unwrap().chat_template(bos);
            ChatTemplate::new(&source, "<b>", "").unwrap().render(&messages, true).unwrap()
        };
        assert_eq!(rendered(false), prompt(template, &pair));
        assert_eq!(rendered(true), format!("<b>{}", rendered(false)));
    }
}
