//! Answers under way: they outlive the connection that asked, and whoever comes back is given them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::error::ApiError;

/// What an answer ended with: its JSON, or why there is none.
pub type Ended = Result<Value, ApiError>;

/// The answers under way, by their turns.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<HashMap<String, watch::Receiver<Option<Ended>>>>>);

/// An answer under way. Dropped without an end, as by a panic, it ends with an error.
pub struct Answering {
    turn: String,
    running: Running,
    ended: watch::Sender<Option<Ended>>,
}

/// Waits for the end of an answer.
#[derive(Clone)]
pub struct Awaited(watch::Receiver<Option<Ended>>);

impl Running {
    /// Begins the answer of a turn.
    pub fn begin(&self, turn: &str) -> (Answering, Awaited) {
        let (ended, awaited) = watch::channel(None);
        self.lock().insert(turn.to_string(), awaited.clone());
        (Answering { turn: turn.to_string(), running: self.clone(), ended }, Awaited(awaited))
    }

    /// The answer of a turn, if it is under way.
    pub fn find(&self, turn: &str) -> Option<Awaited> {
        self.lock().get(turn).cloned().map(Awaited)
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Receiver<Option<Ended>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering {
    /// Gives the end to all who wait for it.
    pub fn end(self, ended: Ended) {
        self.ended.send_replace(Some(ended));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.running.lock().remove(&self.turn);
    }
}

impl Awaited {
    /// The answer, or the error in its place.
    pub async fn end(mut self) -> Ended {
        match self.0.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }
}

fn lost() -> Ended {
    Err(ApiError::internal("the answer was lost by a fault of the server"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Running;

    #[tokio::test]
    async fn whoever_waits_is_given_the_end() {
        let running = Running::default();
        let (answering, first) = running.begin("a");
        let second = running.find("a").unwrap();
        answering.end(Ok(json!(1)));
        assert_eq!((first.end().await.unwrap(), second.end().await.unwrap()), (json!(1), json!(1)));
        assert!(running.find("a").is_none() && running.len() == 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_lost_is_an_error() {
        let running = Running::default();
        let (answering, awaited) = running.begin("a");
        drop(answering);
        assert!(awaited.end().await.unwrap_err().to_string().contains("lost"));
    }
}
