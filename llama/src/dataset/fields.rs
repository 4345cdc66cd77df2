//! From the fields of a raw row to a conversation.

use serde_json::{Map, Value};

use super::{Columns, Field, Fields};
use crate::text::chat_template::Message;

/// The texts of a row that is no conversation.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    pub instruction: &'a str,
    pub input: &'a str,
    pub response: &'a str,
    pub system: &'a str,
    pub context: &'a str,
    pub category: &'a str,
}

impl Texts<'_> {
    /// The conversation of two messages; `None` if one of them is blank.
    pub fn row(&self) -> Result<Option<Fields>, String> {
        let question = joined(self.instruction, "\n", self.input);
        let answer = self.response.trim();
        if self.instruction.trim().is_empty() || answer.is_empty() {
            return Ok(None);
        }
        let messages = vec![Message::new("user", question), Message::new("assistant", answer)];
        self.conversation(messages, false)
    }

    /// The row of these messages, with the system message that the columns hold put first.
    fn conversation(&self, mut messages: Vec<Message>, conversation: bool) -> Result<Option<Fields>, String> {
        let system = joined(self.system, "\n\n", self.context);
        match messages.first_mut().filter(|first| first.role == "system") {
            _ if system.is_empty() => {}
            Some(first) => first.content = joined(&first.content, "\n\n", &system),
            None => messages.insert(0, Message::new("system", system)),
        }
        if messages.iter().any(|message| message.content.contains('\0')) {
            return Err("there is a NUL character in a text".into());
        }
        let category = Some(self.category.trim()).filter(|category| !category.is_empty());
        Ok(Some(Fields { messages, category: category.map(Into::into), conversation }))
    }
}

/// Both texts without the space around them, and `between` where there are both.
fn joined(first: &str, between: &str, second: &str) -> String {
    match (first.trim(), second.trim()) {
        (first, "") => first.into(),
        ("", second) => second.into(),
        (first, second) => format!("{first}{between}{second}"),
    }
}

/// The row of a JSON object; `None` if it is blank.
pub(super) fn of_object(object: &Map<String, Value>, columns: &Columns) -> Result<Option<Fields>, String> {
    for name in ["tools", "functions"] {
        if object.get(name).is_some_and(|tools| !is_empty(tools)) {
            return Err(format!("`{name}` is given; calls of tools cannot be learned yet"));
        }
    }
    for name in ["images", "image", "videos", "audios"] {
        if object.get(name).is_some_and(|media| !is_empty(media)) {
            return Err(format!("`{name}` is given; only text can be learned"));
        }
    }
    if object.get("history").is_some_and(|turns| !is_empty(turns)) {
        return Err(
            "`history` is given, which would be left out; write the whole conversation as `messages`".into(),
        );
    }
    let find = |field| {
        let index = columns.find(field, object.keys().map(String::as_str))?;
        Ok::<_, String>(index.and_then(|index| object.iter().nth(index)))
    };
    let text = |field| match find(field)? {
        // A null field counts as an empty one.
        None | Some((_, Value::Null)) => Ok(""),
        Some((_, Value::String(text))) => Ok(text.as_str()),
        Some((name, value)) => Err(format!("`{name}` is {}, not a text", kind(value))),
    };
    let need = |field| match find(field)? {
        Some(_) => text(field),
        None => Err(missing(field, columns, object)),
    };
    let chat = find(Field::Messages)?.filter(|(_, value)| !value.is_null());
    let chat = chat.filter(|_| columns.named(Field::Instruction).is_none());
    if let Some((name, _)) = chat
        && let (Some((one, _)), Some((two, _))) = (find(Field::Instruction)?, find(Field::Response)?)
        && columns.named(Field::Messages).is_none()
    {
        return Err(format!(
            "there are `{name}` and `{one}` with `{two}`; say which to learn with --columns messages={name} or \
             --columns instruction={one}"
        ));
    }
    if chat.is_none()
        && let (Some((one, Value::Array(asked))), Some((two, Value::Array(answered)))) =
            (find(Field::Instruction)?, find(Field::Response)?)
    {
        // TRL's conversational form of prompt and completion.
        let list: Vec<Value> = asked.iter().chain(answered).cloned().collect();
        let texts = Texts { category: text(Field::Category)?, ..Texts::default() };
        return match messages(&format!("{one}` and `{two}"), &list)? {
            Some(messages) => texts.conversation(messages, true),
            None => Ok(None),
        };
    }
    let (instruction, response) = match chat {
        Some(_) => ("", ""),
        None => (need(Field::Instruction)?, need(Field::Response)?),
    };
    let texts = Texts {
        instruction,
        input: text(Field::Input)?,
        response,
        system: text(Field::System)?,
        context: text(Field::Context)?,
        category: text(Field::Category)?,
    };
    match chat {
        None => texts.row(),
        Some((name, Value::Array(list))) => match messages(name, list)? {
            Some(messages) => texts.conversation(messages, true),
            None => Ok(None),
        },
        Some((name, value)) => Err(format!("`{name}` is {}, not a list of messages", kind(value))),
    }
}

fn missing(field: Field, columns: &Columns, object: &Map<String, Value>) -> String {
    let found: Vec<String> = object.keys().map(|name| format!("`{name}`")).collect();
    let or_messages = match field {
        Field::Instruction if columns.named(field).is_none() => " and no `messages`",
        _ => "",
    };
    match found.is_empty() {
        true => "the object is empty".into(),
        false => format!("there is no `{}`{or_messages}; there is {}", columns.name(field), found.join(", ")),
    }
}

/// The messages up to the last answer; `None` if one is blank.
fn messages(name: &str, list: &[Value]) -> Result<Option<Vec<Message>>, String> {
    let mut messages = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let message =
            message(value).map_err(|reason| format!("`{name}`, message {}: {reason}", index + 1))?;
        messages.push(message);
    }
    let answered = messages.iter().rposition(|message| message.role == "assistant");
    messages.truncate(answered.map_or(0, |last| last + 1));
    if !messages.iter().any(|message| message.role == "user") {
        return Err(format!("`{name}` holds no question with an answer"));
    }
    messages.retain(|message| message.role != "system" || !message.content.trim().is_empty());
    let blank = messages.iter().any(|message| message.content.trim().is_empty());
    Ok((!blank).then_some(messages))
}

/// One message, as OpenAI and Hugging Face write it or as ShareGPT does.
fn message(value: &Value) -> Result<Message, String> {
    let object = value.as_object().ok_or_else(|| format!("it is {}, not an object", kind(value)))?;
    for name in ["tool_calls", "function_call"] {
        if object.get(name).is_some_and(|calls| !is_empty(calls)) {
            return Err(format!("it has `{name}`; calls of tools cannot be learned yet"));
        }
    }
    for name in ["reasoning_content", "reasoning", "thinking", "refusal", "audio", "images"] {
        if object.get(name).is_some_and(|said| !is_empty(said)) {
            return Err(format!(
                "it has `{name}`, which would be left out; put its text into `content` or take it out"
            ));
        }
    }
    for name in ["weight", "train", "training", "loss"] {
        match object.get(name) {
            None | Some(Value::Null | Value::Bool(true)) => {}
            Some(value) if value.as_f64() == Some(1.0) => {}
            Some(value) if *value == false || value.as_f64() == Some(0.0) => {
                return Err(format!(
                    "its `{name}` leaves it out of what is learned, which is not supported; take it out"
                ));
            }
            Some(value) => {
                return Err(format!("its `{name}` is {value}; every answer is learned with the weight 1"));
            }
        }
    }
    let value = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| object.get(*name));
        found.ok_or_else(|| format!("it has no `{}`", names[0]))
    };
    let role = match value(["role", "from"])? {
        Value::String(role) => role.as_str(),
        other => return Err(format!("its `role` is {}, not a text", kind(other))),
    };
    let role = match role {
        "system" | "developer" => "system",
        "user" | "human" => "user",
        "assistant" | "gpt" => "assistant",
        "tool" | "function" | "ipython" => {
            return Err(format!("its role is `{role}`; calls of tools cannot be learned yet"));
        }
        other => return Err(format!("its role `{other}` is not system, user or assistant")),
    };
    Ok(Message::new(role, content(value(["content", "value"])?)?))
}

/// A message's text, as one or in OpenAI's parts; null is an empty one.
fn content(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        other => Err(format!("its `content` is {}, not a text", kind(other))),
    }
}

fn part(part: &Value) -> Result<&str, String> {
    match (&part["type"], &part["text"]) {
        (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text),
        (Value::String(kind), _) => {
            Err(format!("its `content` has a part of type `{kind}`; only text can be learned"))
        }
        _ => Err("its `content` has a part without `type` and `text`".into()),
    }
}

/// Whether a value is null or empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Result<Option<Fields>, String> {
        of_object(value.as_object().unwrap(), &Columns::default())
    }

    /// `role: content` of each message.
    fn said(value: Value) -> Vec<String> {
        let messages = row(value).unwrap().unwrap().messages;
        messages.iter().map(|message| format!("{}: {}", message.role, message.content)).collect()
    }

    #[test]
    fn pairs_have_many_names() {
        let expected = ["user: Q", "assistant: A"];
        assert_eq!(said(json!({"instruction": "Q", "response": " A\n"})), expected);
        assert_eq!(said(json!({"prompt": "Q", "completion": "A", "id": 7})), expected);
        assert_eq!(said(json!({"instruction": "Q", "input": "", "output": "A"})), expected);
        assert_eq!(
            said(json!({"instruction": "Q", "input": "I", "output": "A", "system": "S", "context": "C"})),
            ["system: S\n\nC", "user: Q\nI", "assistant: A"]
        );
    }

    #[test]
    fn conversations_are_taken_up_to_the_last_answer() {
        let messages = json!([
            {"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "A"}, {"role": "user", "content": "Thanks"},
        ]);
        let expected = ["system: S", "user: Q", "assistant: A"];
        assert_eq!(said(json!({"messages": messages, "instruction": 7})), expected);
        let turns = json!([{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]);
        assert_eq!(said(json!({"conversations": turns, "system": "S"})), expected);
    }

    #[test]
    fn blank_texts_make_a_blank_row() {
        assert_eq!(row(json!({"instruction": " ", "input": "I", "response": "A"})), Ok(None));
        let messages = json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": ""}]);
        assert_eq!(row(json!({"messages": messages})), Ok(None));
        for nothing in [json!(null), json!(""), json!(" ")] {
            assert_eq!(row(json!({"instruction": "Q", "response": nothing})), Ok(None));
            let messages =
                json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": nothing}]);
            assert_eq!(row(json!({"messages": messages})), Ok(None));
        }
    }

    #[test]
    fn rows_are_what_the_chat_endpoint_takes() {
        let parts = json!([{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]);
        let messages = json!([
            {"role": "developer", "content": "S"}, {"role": "user", "content": parts, "name": "Ann"},
            {
                "role": "assistant", "content": "A", "tool_calls": null, "weight": 1, "loss": true, "refusal": null,
                "reasoning_content": "", "audio": {},
            },
        ]);
        assert_eq!(
            said(json!({"messages": messages, "tools": [], "history": [], "images": []})),
            ["system: S", "user: Hello there", "assistant: A"]
        );
        let prompt = json!([{"role": "user", "content": "Q"}]);
        let completion = json!([{"role": "assistant", "content": "A"}]);
        assert_eq!(said(json!({"prompt": prompt, "completion": completion})), ["user: Q", "assistant: A"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let call = json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": null, "tool_calls": [{}]}]);
        let weighed =
            json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}]);
        let part = |name: &str, value: Value| {
            let mut answer = json!({"role": "assistant", "content": "A"});
            answer[name] = value;
            json!([{"role": "user", "content": "Q"}, answer])
        };
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]);
        for (value, reason) in [
            (
                json!({"q": "Q", "response": "A"}),
                "there is no `instruction` and no `messages`; there is `q`, `response`",
            ),
            (json!({"instruction": "Q", "answer": "A"}), "there is no `response`"),
            (json!({"instruction": "Q", "response": 7}), "`response` is a number, not a text"),
            (json!({}), "the object is empty"),
            (json!({"messages": "Q"}), "`messages` is a text, not a list of messages"),
            (json!({"messages": []}), "`messages` holds no question with an answer"),
            (
                json!({"messages": [{"role": "tool", "content": "x"}]}),
                "message 1: its role is `tool`; calls of tools",
            ),
            (json!({"messages": [{"role": "clown", "content": "x"}]}), "message 1: its role `clown`"),
            (json!({"messages": call}), "`messages`, message 2: it has `tool_calls`; calls of tools"),
            (json!({"messages": weighed}), "message 2: its `weight` leaves it out"),
            (json!({"messages": part("weight", json!(0.5))}), "message 2: its `weight` is 0.5; every answer"),
            (json!({"messages": part("loss", json!(false))}), "message 2: its `loss` leaves it out"),
            (
                json!({"messages": part("reasoning_content", json!("R"))}),
                "it has `reasoning_content`, which would",
            ),
            (json!({"messages": part("refusal", json!("No"))}), "message 2: it has `refusal`, which would"),
            (
                json!({"instruction": "Q", "output": "A", "history": [["q", "a"]]}),
                "`history` is given, which would be left out",
            ),
            (json!({"instruction": "Q", "output": "A", "images": ["a.png"]}), "`images` is given; only text"),
            (json!({"messages": image}), "message 1: its `content` has a part of type `image_url`"),
            (json!({"instruction": "Q", "response": "A", "tools": [{}]}), "`tools` is given"),
            (
                json!({"instruction": "Q", "response": "A", "output": "B"}),
                "`response` and `output` could both be",
            ),
            (
                json!({"instruction": "Q", "response": "A", "messages": []}),
                "there are `messages` and `instruction`",
            ),
            (json!({"messages": [{"content": "x"}]}), "message 1: it has no `role`"),
            (json!({"messages": [7]}), "message 1: it is a number"),
            (json!({"instruction": "Q\u{0}", "response": "A"}), "NUL"),
        ] {
            let error = row(value.clone()).unwrap_err();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }
}
