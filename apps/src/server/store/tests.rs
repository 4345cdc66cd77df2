//! Tests of the store as a whole.

mod conversations;
mod figures;
mod files;
mod killed;
mod speed;
mod traces;

use serde_json::{Value, json};

use super::{Finished, NewTurn, SessionOf, Store};

/// An answer as the contract has it, which cites `document`.
fn answer(text: &str, outcome: &str, document: &str) -> Value {
    json!({
        "answer": text,
        "html": format!("<p>{text}</p>"),
        "answered": outcome == "answered",
        "outcome": outcome,
        "intent": "question",
        "handoff": (outcome == "handoff").then(|| json!({"reason": "asked_for_a_person"})),
        "language": "en",
        "sentences": [{"text": text, "html": text, "citation": 1, "range": [0, 3], "probability": 0.9}],
        "context": [{"number": 1, "text": "Call +49 30 555 0100.", "title": "Help", "document": document}],
    })
}

/// Asks in a conversation, gets an answer with this outcome, and returns the turn and the conversation.
async fn ask(store: &Store, session: SessionOf, question: &str, outcome: &str) -> (String, String) {
    let turn =
        NewTurn { session, question: question.into(), endpoint: "/v1/ask".into(), ..NewTurn::default() };
    let turn = store.begin(turn).await.unwrap();
    let ids = (turn.id().to_string(), turn.session().unwrap_or_default().to_string());
    let answer = answer("So it is.", outcome, "help.md");
    turn.finish(Finished { answer, ..Finished::default() }).await.unwrap();
    ids
}
