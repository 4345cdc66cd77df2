//! What happens in conversations, told to those who watch them: the page of the customer, and of the agent.

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::store::{Message, Session};

/// Notices that a slow watcher may be behind; then it is told to read the conversation anew.
const KEPT: usize = 256;

/// Something that happened in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The conversation.
    pub session: String,
    /// `message` or `status`.
    pub event: &'static str,
    /// What the event carries.
    pub data: Value,
}

/// Tells watchers what happens.
#[derive(Clone)]
pub struct Notices(broadcast::Sender<Notice>);

/// Watches one conversation.
pub struct Watch {
    session: String,
    notices: broadcast::Receiver<Notice>,
}

impl Default for Notices {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Notices {
    /// Watches `session` from now on.
    pub fn watch(&self, session: &str) -> Watch {
        Watch { session: session.to_string(), notices: self.0.subscribe() }
    }

    /// Tells that a person wrote.
    pub fn wrote(&self, session: &str, message: &Message) {
        self.tell(session, "message", message);
    }

    /// Whether anybody watches anything.
    pub fn are_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells that a conversation has another status.
    pub fn changed(&self, session: &Session) {
        self.tell(&session.id, "status", &json!({"status": session.status, "agent": session.agent}));
    }

    fn tell(&self, session: &str, event: &'static str, data: &impl Serialize) {
        match serde_json::to_value(data) {
            // Nobody watching is no fault.
            Ok(data) => drop(self.0.send(Notice { session: session.to_string(), event, data })),
            Err(error) => tracing::error!("a notice of {session} cannot be written: {error}"),
        }
    }
}

impl Watch {
    /// The next notice; `Err` tells that some were missed, `Ok(None)` that there will be none.
    pub async fn next(&mut self) -> Result<Option<Notice>, Missed> {
        loop {
            match self.notices.recv().await {
                Ok(notice) if notice.session == self.session => return Ok(Some(notice)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Err(Missed),
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }
}

/// Notices were missed: what is shown should be read anew.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_watch_sees_its_own_conversation() {
        let notices = Notices::default();
        let mut watch = notices.watch("a");
        notices.tell("b", "status", &1);
        notices.tell("a", "status", &2);
        let notice = watch.next().await.unwrap().unwrap();
        assert_eq!((notice.session.as_str(), notice.data), ("a", json!(2)));
        for _ in 0..=KEPT {
            notices.tell("a", "status", &3);
        }
        assert_eq!(watch.next().await, Err(Missed));
        drop(notices);
    }
}
