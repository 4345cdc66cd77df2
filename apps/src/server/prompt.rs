//! Turns questions and conversations into the tokens that the model continues.

use anyhow::anyhow;
use llama::{ChatTemplate, GROUNDED_STOP, Message, Tokenizer, TokenizerError, grounded_prompt};

use crate::error::ApiError;

/// Start of the system message for a model without adapter; the passages follow.
const GROUNDING: &str = "You are a helpful customer support assistant. Answer the customer's question \
     briefly, using only the information below. If it does not hold the answer, say that you do not know.";

/// The system message if no passage was found.
const WITHOUT_PASSAGES: &str = "You are a helpful customer support assistant. Answer the customer's \
     question briefly. If you do not know the answer, say so.";

/// How a question and its passages become a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grounding {
    /// A chat model as it is: its template, and a system message that says what to do with the
    /// passages.
    Chat,
    /// An adapter with a template of its own, which takes the bare passages as system message.
    AdapterTemplate,
    /// The instruction form: an adapter that came without template, or a model without one.
    Instruction,
}

/// Writes prompts for one model.
#[derive(Debug, Clone)]
pub struct PromptWriter {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The adapter's chat template, else the model's.
    pub template: Option<ChatTemplate>,
    /// How answers are grounded.
    pub grounding: Grounding,
}

impl PromptWriter {
    /// A raw prompt, which a program wrote: control tokens in it are control tokens, as llama.cpp, vLLM and TGI read
    /// them. Where the model's texts start with BOS it comes first, unless the text has it or `add_special` is false.
    ///
    /// # Errors
    /// If the text is empty.
    pub fn raw(&self, text: &str, add_special: bool) -> Result<Vec<u32>, ApiError> {
        if text.is_empty() {
            return Err(ApiError::bad_request("the prompt is empty"));
        }
        let tokens = self.tokenizer.encode_program_prompt(text, add_special);
        tokens.map_err(|error| ApiError::bad_request(error.to_string()))
    }

    /// A conversation, up to where the assistant's answer begins.
    ///
    /// # Errors
    /// If there is no message, the model has no chat template, or the template refuses the
    /// conversation.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, ApiError> {
        if messages.is_empty() {
            return Err(ApiError::bad_request("messages is empty").with_param("messages"));
        }
        let Some(template) = &self.template else {
            let message = "this model has no chat template; send a raw prompt to /v1/completions";
            return Err(ApiError::bad_request(message));
        };
        self.rendered(template, messages)
            .map_err(|error| ApiError::bad_request(error.to_string()).with_param("messages"))
    }

    fn rendered(&self, template: &ChatTemplate, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        self.tokenizer.encode_chat(template, messages, true)
    }

    /// Writes a prompt of each kind that the server will have to write.
    ///
    /// # Errors
    /// If the chat template refuses one. Found at the start, not with the first customer.
    pub fn check(&self) -> anyhow::Result<()> {
        let passages = "Orders arrive within three days.";
        for context in [Some(passages), None] {
            let what = if context.is_some() { "a question with passages" } else { "a question" };
            self.grounded("Where is my order?", context)
                .map_err(|error| anyhow!("the model cannot be asked {what}: {error}"))?;
        }
        Ok(())
    }

    /// A question with the passages that its answer should rest on.
    ///
    /// # Errors
    /// If the chat template fails.
    pub fn grounded(&self, question: &str, context: Option<&str>) -> Result<Vec<u32>, ApiError> {
        let system = match self.grounding {
            Grounding::Instruction => {
                // What a customer and an article say has no control tokens.
                let tokens = self.tokenizer.encode_prompt(&grounded_prompt(question, context));
                return tokens.map_err(|error| ApiError::bad_request(error.to_string()));
            }
            Grounding::AdapterTemplate => context.map(str::to_string),
            Grounding::Chat => Some(match context {
                Some(context) => format!("{GROUNDING}\n\n{context}"),
                None => WITHOUT_PASSAGES.to_string(),
            }),
        };
        let Some(template) = &self.template else {
            return Err(ApiError::internal("the model has no chat template"));
        };
        let system = system.map(|content| Message::new("system", content));
        let messages: Vec<Message> = system.into_iter().chain([Message::new("user", question)]).collect();
        // A template that fails on a plain question is the server's fault, not the client's.
        self.rendered(template, &messages).map_err(|error| ApiError::internal(error.to_string()))
    }

    /// Texts at which an answer in the form of an adapter ends though the model goes on.
    pub fn grounded_stops(&self) -> Vec<String> {
        match self.grounding {
            Grounding::Chat => Vec::new(),
            Grounding::AdapterTemplate | Grounding::Instruction => vec![GROUNDED_STOP.into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::prompts;

    fn text(tokens: Result<Vec<u32>, ApiError>) -> String {
        prompts().tokenizer.decode(&tokens.unwrap(), false)
    }

    #[test]
    fn a_chat_model_gets_the_passages_in_the_system_message() {
        let prompt = text(prompts().grounded("Where is it?", Some("It is here.")));
        assert_eq!(prompt, format!("system: {GROUNDING}\n\nIt is here.\nuser: Where is it?\n"));
        let prompt = text(prompts().grounded("Where is it?", None));
        assert_eq!(prompt, format!("system: {WITHOUT_PASSAGES}\nuser: Where is it?\n"));
    }

    #[test]
    fn an_adapter_with_a_template_gets_the_bare_passages() {
        let prompts = PromptWriter { grounding: Grounding::AdapterTemplate, ..prompts() };
        assert_eq!(text(prompts.grounded("Where?", Some("Here."))), "system: Here.\nuser: Where?\n");
        assert_eq!(text(prompts.grounded("Where?", None)), "user: Where?\n");
    }

    #[test]
    fn a_template_without_system_message_gets_the_passages_before_the_question() {
        let strict = "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}\
             {{ raise_exception('Roles must alternate') }}{% endif %}{{ message.role }}: {{ message.content }}\n{% endfor %}";
        let silent = "{% for message in messages %}{% if message.role != 'system' %}{{ message.role }}: \
             {{ message.content }}\n{% endif %}{% endfor %}";
        for source in [strict, silent] {
            let template = Some(ChatTemplate::new(source, "", "").unwrap());
            let prompts = PromptWriter { template, grounding: Grounding::AdapterTemplate, ..prompts() };
            prompts.check().unwrap();
            assert_eq!(text(prompts.grounded("Where?", Some("Here."))), "user: Here.\n\nWhere?\n");
        }
    }

    #[test]
    fn a_template_that_refuses_every_question_is_found_at_the_start() {
        let template = Some(ChatTemplate::new("{{ raise_exception('No.') }}", "", "").unwrap());
        let error = PromptWriter { template, ..prompts() }.check().unwrap_err().to_string();
        assert_eq!(error, "the model cannot be asked a question with passages: No.");
    }

    #[test]
    fn a_program_writes_control_tokens_and_a_customer_does_not() {
        let text = "<|im_start|>user\nHi<|im_end|>\n";
        assert_eq!(prompts().raw(text, true).unwrap().len(), 1 + "user\nHi".len() + 1 + 1);
        for grounding in [Grounding::Chat, Grounding::AdapterTemplate, Grounding::Instruction] {
            let tokens = PromptWriter { grounding, ..prompts() }.grounded(text, Some(text)).unwrap();
            assert!(tokens.iter().all(|&token| token < 256), "{grounding:?}");
        }
    }

    #[test]
    fn without_template_the_instruction_form_is_used() {
        let prompts = PromptWriter { template: None, grounding: Grounding::Instruction, ..prompts() };
        assert_eq!(
            text(prompts.grounded("Where?", Some("Here."))),
            "### Instruction:\nWhere?\n### Context:\nHere.\n### Response:\n"
        );
        assert!(prompts.chat(&[Message::new("user", "Hi")]).is_err());
    }
}
