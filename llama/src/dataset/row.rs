//! One row of training data: a conversation.

use serde_json::json;

use crate::text::chat_template::Message;

/// A conversation to learn from. A question with its answer is one of two messages, and the passages
/// that retrieval would have found for it are its system message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is said, up to the assistant's last answer.
    pub messages: Vec<Message>,
    /// What kind of question it is, for evaluation by category.
    pub category: Option<String>,
    /// Where it stands: the file, and the line on which the row starts.
    pub origin: RowOrigin,
}

/// A place in a file, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOrigin {
    /// Index into `Dataset::files`.
    pub file: usize,
    /// The line, from 1.
    pub line: u64,
}

/// A row that is one question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// What the customer writes.
    pub instruction: &'a str,
    /// The passages that the answer should rest on, or other instructions for the assistant.
    pub context: Option<&'a str>,
    /// What the assistant answers.
    pub response: &'a str,
}

impl Row {
    /// What is asked: the first message of the user.
    pub fn instruction(&self) -> &str {
        self.first("user").unwrap_or_default()
    }

    /// The system message.
    pub fn context(&self) -> Option<&str> {
        self.first("system")
    }

    /// The last message of the user, which the last answer responds to.
    pub fn question(&self) -> &str {
        let message = self.messages.iter().rev().find(|message| message.role == "user");
        message.map_or("", |message| message.content.as_str())
    }

    /// The last answer.
    pub fn response(&self) -> &str {
        self.messages.last().map_or("", |message| message.content.as_str())
    }

    fn first(&self, role: &str) -> Option<&str> {
        let message = self.messages.iter().find(|message| message.role == role);
        message.map(|message| message.content.as_str())
    }

    /// The row as one question and its answer, if that is all there is.
    pub fn pair(&self) -> Option<Pair<'_>> {
        let (context, turns) = match self.messages.as_slice() {
            [system, turns @ ..] if system.role == "system" => (Some(system.content.as_str()), turns),
            turns => (None, turns),
        };
        match turns {
            [user, assistant] if user.role == "user" && assistant.role == "assistant" => {
                Some(Pair { instruction: &user.content, context, response: &assistant.content })
            }
            _ => None,
        }
    }

    /// The row as a line of a `.jsonl` file, which `Dataset::open` reads.
    pub fn to_json(&self) -> String {
        let mut line = json!({ "messages": &self.messages });
        if let (Some(category), Some(line)) = (&self.category, line.as_object_mut()) {
            line.insert("category".into(), category.as_str().into());
        }
        line.to_string()
    }
}

#[cfg(test)]
impl Row {
    /// A row of these roles and contents.
    pub(super) fn of(messages: &[(&str, &str)]) -> Self {
        let messages = messages.iter().map(|&(role, content)| Message::new(role, content)).collect();
        Self { messages, category: None, origin: RowOrigin { file: 0, line: 2 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_asks_first_and_last() {
        let row = Row::of(&[
            ("user", "Hi"),
            ("assistant", "Hello"),
            ("user", "Where is it?"),
            ("assistant", "Here"),
        ]);
        assert_eq!((row.instruction(), row.question(), row.response()), ("Hi", "Where is it?", "Here"));
    }

    #[test]
    fn a_pair_is_one_question_and_its_answer() {
        let row = Row::of(&[("system", "C"), ("user", "Q"), ("assistant", "A")]);
        assert_eq!(row.pair(), Some(Pair { instruction: "Q", context: Some("C"), response: "A" }));
        assert_eq!(Row::of(&[("user", "Q"), ("assistant", "A")]).pair().unwrap().context, None);
        let chat = Row::of(&[("user", "Q"), ("assistant", "A"), ("user", "R"), ("assistant", "B")]);
        assert_eq!((chat.pair(), chat.instruction(), chat.response()), (None, "Q", "B"));
    }
}
