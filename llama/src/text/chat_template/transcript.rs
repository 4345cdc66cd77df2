//! Which parts of a rendered conversation the assistant says, as training masks need it.
//!
//! A template marks it with `{% generation %}` blocks, or it is found by rendering the conversation
//! again with other answers: what changes is what the assistant says. So it does not matter where a
//! template puts the system message, whether it trims, or what it leaves out of earlier turns.

use std::ops::Range;

use super::{ChatTemplate, Message, TemplateError, generation};

/// Put in place of an answer to find it in a rendering. Unicode reserves this code point: no text has it.
const MARK: char = '\u{fdd1}';

/// A conversation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The text that the template makes of all messages.
    pub text: String,
    /// The assistant's turns in it, in order.
    pub answers: Vec<AnswerSpan>,
}

/// One turn of the assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSpan {
    /// The bytes that the assistant writes, from the end of the generation prompt.
    pub text: Range<usize>,
    /// Where the text that ends the turn stops: `<|im_end|>` and a line end in ChatML.
    pub closed: usize,
}

/// Renders conversations and finds the answers in them.
#[derive(Debug, Clone)]
pub struct Transcriber {
    template: ChatTemplate,
    /// The template with marks around its `{% generation %}` blocks, if it has any.
    marked: Option<ChatTemplate>,
    generation_prompt: String,
}

impl Transcriber {
    /// Prepares a template.
    ///
    /// # Errors
    /// If the template is no Jinja.
    pub fn new(template: ChatTemplate) -> Result<Self, TemplateError> {
        // Renderings are compared, so all of them must see the same time.
        let template = match template.moment {
            Some(_) => template,
            None => template.at(super::now()),
        };
        let marked = generation::as_marks(template.source())
            .map(|source| ChatTemplate::new(&source, &template.bos, &template.eos))
            .transpose()?
            .map(|marked| ChatTemplate { moment: template.moment, ..marked });
        let question = [Message::new("user", "x")];
        let rendered = |prompt| template.render(&question, prompt).unwrap_or_default();
        let generation_prompt = rendered(true).strip_prefix(&rendered(false)).unwrap_or_default().to_owned();
        Ok(Self { template, marked, generation_prompt })
    }

    /// The template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The text of a conversation and the assistant's turns in it.
    ///
    /// # Errors
    /// If the template refuses the conversation, fails on it, or writes a text in which the assistant's part cannot be
    /// found.
    pub fn transcript(&self, messages: &[Message]) -> Result<Transcript, TemplateError> {
        let clean = |message: &Message| {
            let content = message.content.replace([MARK, generation::OPEN, generation::CLOSE], "");
            Message::new(message.role.as_str(), content)
        };
        let messages: Vec<Message> = self.template.with_system(messages).iter().map(clean).collect();
        let text = self.template.render(&messages, false)?;
        if let Some(spans) = self.marked_blocks(&messages, &text)? {
            return Ok(transcript(text, spans, ""));
        }
        let spans = match self.found_at_once(&messages, &text)? {
            Some(spans) => spans,
            None => self.found_one_by_one(&messages, &text)?,
        };
        Ok(transcript(text, spans, &self.generation_prompt))
    }

    /// The `{% generation %}` blocks, if the template has any for this conversation.
    fn marked_blocks(
        &self,
        messages: &[Message],
        text: &str,
    ) -> Result<Option<Vec<Range<usize>>>, TemplateError> {
        let Some(marked) = &self.marked else { return Ok(None) };
        let (mut plain, mut spans, mut opened) = (String::new(), Vec::new(), None);
        for letter in marked.render(messages, false)?.chars() {
            match letter {
                generation::OPEN => opened = Some(plain.len()),
                generation::CLOSE => spans.extend(opened.take().map(|start| start..plain.len())),
                _ => plain.push(letter),
            }
        }
        Ok((plain == text && !spans.is_empty()).then_some(spans))
    }

    /// Compares with the rendering in which a mark stands for every answer. `None` if the template
    /// does more with an answer than to print it, trimmed or not.
    fn found_at_once(
        &self,
        messages: &[Message],
        text: &str,
    ) -> Result<Option<Vec<Range<usize>>>, TemplateError> {
        let mut others = messages.to_vec();
        for message in others.iter_mut().filter(|message| is_answer(message)) {
            message.content = MARK.into();
        }
        let rendered = self.template.render(&others, false)?;
        let mut between = rendered.split(MARK);
        let Some(mut rest) = between.next().and_then(|before| text.strip_prefix(before)) else {
            return Ok(None);
        };
        let mut spans = Vec::new();
        for answer in messages.iter().filter(|message| is_answer(message)) {
            let Some(after) = between.next() else { return Ok(None) };
            let is_last = spans.len() + 1 == count(messages);
            let content = answer.content.as_str();
            let printed = [content, content.trim(), content.trim_start(), content.trim_end()];
            let found = printed.into_iter().find_map(|content| {
                let after = rest.strip_prefix(content)?.strip_prefix(after)?;
                (!is_last || after.is_empty()).then_some((content.len(), after))
            });
            let Some((length, next)) = found else { return Ok(None) };
            let start = text.len() - rest.len();
            spans.push(start..start + length);
            rest = next;
        }
        Ok(between.next().is_none().then_some(spans))
    }

    /// Compares with the renderings in which a mark stands for one answer.
    fn found_one_by_one(&self, messages: &[Message], text: &str) -> Result<Vec<Range<usize>>, TemplateError> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for (index, _) in messages.iter().enumerate().filter(|(_, message)| is_answer(message)) {
            let mut others = messages.to_vec();
            if let Some(message) = others.get_mut(index) {
                message.content = MARK.into();
            }
            let other = self.template.render(&others, false)?;
            let before = common(text.chars(), other.chars());
            let tails = (text.get(before..).unwrap_or_default(), other.get(before..).unwrap_or_default());
            let after = common(tails.0.chars().rev(), tails.1.chars().rev());
            let changed = tails.1.get(..tails.1.len() - after).unwrap_or_default();
            if !changed.contains(MARK) || spans.last().is_some_and(|last| last.end > before) {
                return Err(TemplateError::Render(format!(
                    "it cannot be told where message {} stands in the text it writes",
                    index + 1
                )));
            }
            spans.push(before..text.len() - after);
        }
        Ok(spans)
    }
}

fn is_answer(message: &Message) -> bool {
    message.role == "assistant"
}

fn count(messages: &[Message]) -> usize {
    messages.iter().filter(|message| is_answer(message)).count()
}

/// Bytes of the characters that two texts have in common at their start.
fn common(a: impl Iterator<Item = char>, b: impl Iterator<Item = char>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).map(|(letter, _)| letter.len_utf8()).sum()
}

/// Extends the spans of the contents to the turns: back to the end of the generation prompt, and on to
/// the text that ends a turn, which is what follows the last one and, as far as it is the same, any
/// other.
fn transcript(text: String, spans: Vec<Range<usize>>, generation_prompt: &str) -> Transcript {
    let part = |range: Range<usize>| text.get(range).unwrap_or_default();
    let ending = spans.last().map_or("", |last| part(last.end..text.len()));
    let mut answers = Vec::new();
    let mut previous = 0;
    for (index, span) in spans.iter().enumerate() {
        let next = spans.get(index + 1).map_or(text.len(), |next| next.start);
        let prompt = Some(generation_prompt).filter(|prompt| !prompt.is_empty());
        let start = prompt
            .and_then(|prompt| {
                part(previous..span.start).rfind(prompt).map(|at| previous + at + prompt.len())
            })
            .unwrap_or(span.start);
        let closed = span.end + common(part(span.end..next).chars(), ending.chars());
        answers.push(AnswerSpan { text: start..span.end, closed });
        previous = span.end;
    }
    Transcript { text, answers }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT_ML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                           {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    fn chat() -> Vec<Message> {
        vec![
            Message::new("user", "One?"),
            Message::new("assistant", " Two. "),
            Message::new("user", " Two. "),
            Message::new("assistant", "Éé"),
        ]
    }

    /// The answers of a conversation with their endings: `text|ending`.
    fn answers(source: &str, messages: &[Message]) -> Result<Vec<String>, TemplateError> {
        let transcriber = Transcriber::new(ChatTemplate::new(source, "<s>", "</s>")?)?;
        let Transcript { text, answers } = transcriber.transcript(messages)?;
        assert_eq!(text, transcriber.template.render(messages, false)?);
        Ok(answers
            .into_iter()
            .map(|AnswerSpan { text: range, closed }| {
                format!("{}|{}", &text[range.clone()], &text[range.end..closed])
            })
            .collect())
    }

    #[test]
    fn answers_are_what_the_assistant_writes() {
        assert_eq!(answers(CHAT_ML, &chat()).unwrap(), [" Two. |<|im_end|>\n", "Éé|<|im_end|>\n"]);
    }

    #[test]
    fn trimming_and_a_moved_system_message_do_not_matter() {
        // As Llama 2 and Mistral write: no generation prompt, trimmed, the system message in the last question.
        let source = "{% for m in messages %}{% if m.role == 'user' %}<s>[INST] {% if loop.index0 == 3 %}{{ messages[0].content }} {% endif %}\
                      {{ m.content.strip() }} [/INST]{% elif m.role == 'assistant' %} {{ m.content.strip() }} </s>{% endif %}{% endfor %}";
        let mut messages = chat();
        messages.insert(0, Message::new("system", "Two."));
        assert_eq!(answers(source, &messages).unwrap(), ["Two.| </s>", "Éé| </s>"]);
    }

    #[test]
    fn what_the_template_makes_of_an_answer_is_learned() {
        // As Qwen3 and DeepSeek-R1 write: thoughts are left out, but for the last turn's empty ones.
        let source = "{% for m in messages %}<|{{ m.role }}|>{% if loop.last %}<think></think>{% endif %}\
                      {{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}\
                      {% if add_generation_prompt %}<|assistant|>{% endif %}";
        let mut messages = chat();
        messages[1].content = "Hm</think>Two.".into();
        assert_eq!(answers(source, &messages).unwrap(), ["Two.|<|end|>", "<think></think>Éé|<|end|>"]);
    }

    #[test]
    fn marked_blocks_are_taken_as_they_are() {
        let source = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}\n  {%- generation -%}\n  \
                      Well, {{ m.content }}<end>\n  {%- endgeneration -%}\n{% else %}{{ m.content }}{% endif %}\n{% endfor %}";
        assert_eq!(answers(source, &chat()).unwrap(), ["Well,  Two. <end>|", "Well, Éé<end>|"]);
    }

    #[test]
    fn the_same_words_in_other_turns_are_not_answers() {
        let said = |role: &str| Message::new(role, "Yes");
        let messages = [said("system"), said("user"), said("assistant"), said("user"), said("assistant")];
        let source = "{% for m in messages %}{{ m.content }}{% endfor %}";
        let transcriber = Transcriber::new(ChatTemplate::new(source, "", "").unwrap()).unwrap();
        let found = transcriber.transcript(&messages).unwrap().answers;
        assert_eq!(found.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>(), [6..9, 12..15]);
    }

    #[test]
    fn an_answer_that_is_not_printed_is_an_error() {
        let error = answers("{% for m in messages %}{{ m.role }}{% endfor %}", &chat()).unwrap_err();
        assert!(error.to_string().contains("message 2"), "{error}");
    }
}
