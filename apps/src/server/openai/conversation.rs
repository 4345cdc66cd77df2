//! The messages of a chat, as real clients send them.

use std::collections::HashSet;

use llama::{ChatTemplate, Message};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fields, Ignored};
use crate::error::ApiError;

/// A conversation in texts.
#[derive(Debug, Default)]
pub struct Conversation {
    said: Vec<Said>,
    /// Calls that the assistant made so far.
    calls: HashSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    role: Role,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// `developer` is OpenAI's newer word for it.
    #[serde(alias = "developer")]
    System,
    User,
    Assistant,
    /// `function` is OpenAI's older word for it.
    #[serde(alias = "function")]
    Tool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "content must be a string or a list of text parts")]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

/// A call of a function that the assistant made.
#[derive(Deserialize)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Conversation {
    /// What the user said last.
    pub fn question(&self) -> String {
        let last = self.said.iter().rev().find(|said| said.role == Role::User);
        last.map(|said| said.text.clone()).unwrap_or_default()
    }

    /// Reads `messages`.
    ///
    /// # Errors
    /// If there is none, or one is not what this server reads; the error names the message and its field.
    pub fn take(fields: &mut Fields, ignored: &mut Ignored) -> Result<Self, ApiError> {
        let messages: Vec<Value> = fields.require("messages")?;
        if messages.is_empty() {
            return Err(ApiError::bad_request("messages is empty").with_param("messages"));
        }
        let mut conversation = Self::default();
        for (index, message) in messages.into_iter().enumerate() {
            let mut message = Fields::of(message, &format!("messages[{index}]"))?;
            conversation.add(&mut message, ignored)?;
            ignored.add(&message);
        }
        Ok(conversation)
    }

    fn add(&mut self, message: &mut Fields, ignored: &mut Ignored) -> Result<(), ApiError> {
        let role: Role = message.require("role")?;
        let mut texts = Vec::new();
        match message.take::<Content>("content")? {
            Some(Content::Text(text)) => texts.push(text),
            Some(Content::Parts(parts)) => texts.push(joined(parts, message, role, ignored)?),
            None if role == Role::Assistant => {}
            None => {
                message.require::<Value>("content")?; // which says that it is missing
            }
        }
        if role == Role::Assistant {
            texts.extend(message.take::<String>("refusal")?);
            message.refuse("audio", |_| false, "this server reads text only")?;
            texts.extend(self.calls(message, ignored)?);
        }
        if role == Role::Tool {
            self.check_call(message)?;
            message.take::<String>("name")?; // of the function, which the call has named
        }
        texts.retain(|text| !text.is_empty());
        self.said.push(Said { role, text: texts.join("\n") });
        Ok(())
    }

    /// The calls of an assistant's message as text, in the form that most open models write them.
    fn calls(&mut self, message: &mut Fields, ignored: &mut Ignored) -> Result<Vec<String>, ApiError> {
        let mut made: Vec<Call> = message.take("function_call")?.into_iter().collect();
        let calls: Vec<Value> = message.take("tool_calls")?.unwrap_or_default();
        for (index, call) in calls.into_iter().enumerate() {
            let mut call = Fields::of(call, &message.path(&format!("tool_calls[{index}]")))?;
            call.refuse("type", |kind| kind == "function", "only calls of functions are read")?;
            made.push(call.require("function")?);
            self.calls.extend(call.take::<String>("id")?);
            call.take::<usize>("index")?; // of the stream that it was in
            ignored.add(&call);
        }
        Ok(made.iter().map(Call::text).collect())
    }

    /// A tool answers a call that was made.
    fn check_call(&self, message: &mut Fields) -> Result<(), ApiError> {
        match message.take::<String>("tool_call_id")? {
            Some(id) if !self.calls.contains(&id) => {
                Err(message.refused("tool_call_id", format!("no earlier message has a tool call `{id}`")))
            }
            _ => Ok(()),
        }
    }

    /// The messages for a template. What a tool said is told in a user's message where the template has no such
    /// role.
    pub fn messages(&self, template: Option<&ChatTemplate>) -> Vec<Message> {
        let is_tool = |said: &Said| said.role == Role::Tool;
        let prints_tools = self.said.iter().any(is_tool) && template.is_some_and(ChatTemplate::prints_tools);
        let message = |said: &Said| match said.role {
            Role::System => Message::new("system", &said.text),
            Role::User => Message::new("user", &said.text),
            Role::Assistant => Message::new("assistant", &said.text),
            Role::Tool if prints_tools => Message::new("tool", &said.text),
            Role::Tool => Message::new("user", format!("<tool_response>\n{}\n</tool_response>", said.text)),
        };
        self.said.iter().map(message).collect()
    }
}

impl Call {
    fn text(&self) -> String {
        // OpenAI has the arguments as JSON in a string.
        let arguments = match &self.arguments {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            other => other.clone(),
        };
        let call = json!({"name": self.name, "arguments": arguments});
        format!("<tool_call>\n{call}\n</tool_call>")
    }
}

/// The text of a message in parts.
fn joined(
    parts: Vec<Value>,
    message: &Fields,
    role: Role,
    ignored: &mut Ignored,
) -> Result<String, ApiError> {
    let mut text = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, &message.path(&format!("content[{index}]")))?;
        match part.require::<String>("type")?.as_str() {
            "text" => text.push_str(&part.require::<String>("text")?),
            "refusal" if role == Role::Assistant => text.push_str(&part.require::<String>("refusal")?),
            kind => {
                let why = format!("a part of type `{kind}` is not supported; this server reads text");
                return Err(part.refused("type", why));
            }
        }
        ignored.add(&part);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: Value) -> Result<Vec<(String, String)>, ApiError> {
        let mut fields = serde_json::from_value(json!({"messages": messages})).unwrap();
        let conversation = Conversation::take(&mut fields, &mut Ignored::default())?;
        Ok(conversation.messages(None).into_iter().map(|said| (said.role, said.content)).collect())
    }

    #[test]
    fn a_conversation_with_a_tool_call_can_be_sent_back() {
        let call =
            json!({"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"id\":5}"}});
        let said = read(json!([
            {"role": "user", "content": "Where is order 5?"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "shipped"},
        ]));
        let told: Vec<String> =
            said.unwrap().into_iter().map(|(role, text)| format!("{role}: {text}")).collect();
        assert_eq!(
            told[1..],
            [
                "assistant: <tool_call>\n{\"name\":\"find\",\"arguments\":{\"id\":5}}\n</tool_call>",
                "user: <tool_response>\nshipped\n</tool_response>"
            ]
        );
    }

    #[test]
    fn what_an_assistant_says_may_be_nothing_or_a_refusal() {
        let said = read(json!([
            {"role": "assistant"},
            {"role": "assistant", "content": null, "refusal": "I cannot."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "tool_calls": null},
            {"role": "assistant", "function_call": {"name": "f", "arguments": "x"}},
        ]));
        let texts: Vec<String> = said.unwrap().into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            texts,
            ["", "I cannot.", "No.", "<tool_call>\n{\"name\":\"f\",\"arguments\":\"x\"}\n</tool_call>"]
        );
    }

    #[test]
    fn errors_name_the_message_and_the_part() {
        let image = json!({"type": "image_url", "image_url": {"url": "x"}});
        for (message, param) in [
            (json!({"role": "user"}), "messages[1].content"),
            (json!({"role": "user", "content": null}), "messages[1].content"),
            (json!({"role": "user", "content": 3}), "messages[1].content"),
            (json!({"content": "x"}), "messages[1].role"),
            (json!({"role": "clown", "content": "x"}), "messages[1].role"),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "x"}, image]}),
                "messages[1].content[1].type",
            ),
            (
                json!({"role": "user", "content": [{"type": "refusal", "refusal": ""}]}),
                "messages[1].content[0].type",
            ),
            (json!({"role": "user", "content": [{"type": "text"}]}), "messages[1].content[0].text"),
            (json!({"role": "user", "content": ["x"]}), "messages[1].content[0]"),
            (json!({"role": "tool", "content": "x", "tool_call_id": "c9"}), "messages[1].tool_call_id"),
            (
                json!({"role": "assistant", "tool_calls": [{"type": "custom"}]}),
                "messages[1].tool_calls[0].type",
            ),
            (json!("x"), "messages[1]"),
        ] {
            let error = read(json!([{"role": "user", "content": "x"}, message])).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
