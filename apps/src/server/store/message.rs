//! Messages of a conversation: those of people, and those that a turn stands for.

use rusqlite::{Connection, Row};
use serde::Serialize;
use serde_json::Value;

use super::Store;
use super::error::StoreError;
use super::feedback::Feedback;
use super::page::text_enum;
use super::session::{self, Session, Status};
use super::timestamp::Timestamp;
use super::turn::Turn;
use crate::id::new_id;

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageRole {
    /// The customer.
    Customer,
    /// The assistant.
    Assistant,
    /// A person of the support team.
    Agent,
}

text_enum!(MessageRole, "role", { Customer => "customer", Assistant => "assistant", Agent => "agent" });

/// A message of a person.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Who says it: an agent or the customer.
    pub role: MessageRole,
    /// The agent's name.
    pub agent: Option<String>,
    /// What is said.
    pub text: String,
    /// The same as sanitised HTML; the escaped text if `None`.
    pub html: Option<String>,
}

/// A message as a conversation shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// Its identifier.
    pub id: String,
    /// The turn that it belongs to.
    pub turn: Option<String>,
    /// Who said it.
    pub role: MessageRole,
    /// What was said.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// When.
    pub created: Timestamp,
    /// The whole answer, where the assistant said it.
    pub answer: Option<Value>,
    /// What the customer thought of the answer.
    pub feedback: Option<Feedback>,
}

impl Store {
    /// Adds a message of a person.
    ///
    /// An agent who writes takes the conversation. A customer may write where a person is awaited or has it; else
    /// the assistant is to be asked.
    ///
    /// # Errors
    /// If there is no such conversation, nobody would read the message, it is empty, or the disk fails.
    pub async fn add_message(&self, session: &str, message: NewMessage) -> Result<Message, StoreError> {
        if message.text.trim().is_empty() {
            return Err(StoreError::invalid("text", message.text, "says nothing"));
        }
        let text = self.redacted(&message.text);
        let html = message.html.map_or_else(|| escaped(&text), |html| self.redacted(&html));
        let (session, role, agent) = (session.to_string(), message.role, message.agent);
        self.write(move |connection| {
            let now = Timestamp::now();
            let status = Session::find(connection, &session)?.status;
            let agent = match role {
                MessageRole::Agent => {
                    let agent = agent.filter(|agent| !agent.trim().is_empty());
                    let agent =
                        agent.ok_or_else(|| StoreError::invalid("agent", "", "must name who writes"))?;
                    session::change(connection, &session, Status::Taken, Some(&agent), now)?;
                    Some(agent)
                }
                MessageRole::Customer if matches!(status, Status::Taken | Status::Waiting) => {
                    session::touch(connection, &session, now, None, None)?;
                    None
                }
                MessageRole::Customer => {
                    let reason = "is the status of a conversation that no person has; ask the assistant";
                    return Err(StoreError::invalid("status", status.name(), reason));
                }
                MessageRole::Assistant => {
                    return Err(StoreError::invalid("role", role.name(), "is neither agent nor customer"));
                }
            };
            let id = new_id();
            connection
                .prepare_cached(
                    "INSERT INTO messages (id, session, role, agent, text, html, created)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute((&id, &session, role, agent, &text, &html, now))?;
            Ok(Message { id, turn: None, role, text, html, created: now, answer: None, feedback: None })
        })
        .await
    }
}

impl Message {
    fn read(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            turn: None,
            role: row.get("role")?,
            text: row.get("text")?,
            html: row.get("html")?,
            created: row.get("created")?,
            answer: None,
            feedback: None,
        })
    }

    /// The one or two messages that a turn stands for: its question, and its answer once that is there.
    fn of_turn(turn: Turn) -> impl Iterator<Item = Self> {
        let question = Self {
            id: format!("{}.q", turn.id),
            turn: Some(turn.id.clone()),
            role: MessageRole::Customer,
            html: escaped(&turn.question),
            text: turn.question,
            created: turn.created,
            answer: None,
            feedback: None,
        };
        let done = turn.done.unwrap_or(turn.created);
        let (answer, feedback) = (turn.answer, turn.feedback);
        let answer = turn.answer_text.map(|text| Self {
            id: format!("{}.r", turn.id),
            turn: Some(turn.id),
            role: MessageRole::Assistant,
            html: answer
                .as_ref()
                .and_then(|answer| answer.get("html")?.as_str())
                .map_or_else(|| escaped(&text), str::to_string),
            text,
            created: done,
            answer,
            feedback,
        });
        [Some(question), answer].into_iter().flatten()
    }

    /// All messages of a conversation in order.
    pub(super) fn of_session(connection: &Connection, session: &str) -> Result<Vec<Self>, StoreError> {
        let mut people = connection.prepare_cached("SELECT * FROM messages WHERE session = ?1")?;
        let mut messages: Vec<Self> = people.query_map([session], Self::read)?.collect::<Result<_, _>>()?;
        for turn in Turn::of_session(connection, session)? {
            messages.extend(Self::of_turn(turn));
        }
        // Within a millisecond, identifiers are in order: of one turn, `.q` (question) comes before `.r` (reply).
        messages.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(messages)
    }
}

/// A text as HTML that shows it.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' => html.push_str("<br>"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_shows_as_it_was_typed() {
        assert_eq!(super::escaped("<b>\"a\" & 'b'\nc"), "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;<br>c");
    }
}
