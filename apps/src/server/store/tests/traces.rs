//! What is deleted is gone, and what is typed is data.

use super::{answer, ask};
use crate::store::*;

/// Turns of other customers around the one who is deleted, so that pages split and rows move.
const OTHERS: usize = 300;

async fn talk(store: &Store, customer: &str, mark: &str) {
    for session in [SessionOf::New, SessionOf::None] {
        let turn = NewTurn {
            session,
            customer: Some(customer.into()),
            question: format!("{mark} question"),
            described: Some(serde_json::json!({"metadata": {"note": format!("{mark} note")}})),
            ..NewTurn::default()
        };
        let turn = store.begin(turn).await.unwrap();
        let (id, session) = (turn.id().to_string(), turn.session().map(str::to_string));
        let text = format!("{mark} answer ").repeat(1 + mark.len() % 40);
        turn.finish(Finished { answer: answer(&text, "handoff", "a.md"), ..Finished::default() })
            .await
            .unwrap();
        let remark = Some(format!("{mark} remark"));
        store.rate(&id, Feedback { rating: Rating::Up, correction: remark.clone(), remark }).await.unwrap();
        if let Some(session) = session {
            let message = NewMessage {
                role: MessageRole::Customer,
                agent: None,
                text: format!("{mark} message"),
                html: None,
            };
            store.add_message(&session, message).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_deleted_customer_leaves_no_trace_in_tables_or_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    for number in 0..OTHERS {
        talk(&store, &format!("other {number}"), &format!("other {}", "o".repeat(number % 60))).await;
        if number % 10 == 0 {
            talk(&store, "Zaphod B.", &format!("Zaphod {}", "z".repeat(number % 50))).await;
        }
    }
    let data = store.customer("Zaphod B.").await.unwrap();
    assert_eq!((data.sessions.len(), data.turns.len()), (30, 30));
    assert_eq!(store.delete_customer("Zaphod B.").await.unwrap(), 60);
    let data = store.customer("Zaphod B.").await.unwrap();
    assert_eq!((data.sessions.len(), data.turns.len()), (0, 0));
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let traces = bytes.windows(6).filter(|window| window == b"Zaphod").count();
        assert_eq!(traces, 0, "{}", file.display());
    }
    let tables = store.read(|connection| {
        let sql = "SELECT (SELECT count(*) FROM sessions) = ?1, (SELECT count(*) FROM turns) = 2 * ?1,
            (SELECT count(*) FROM feedback) = 2 * ?1, (SELECT count(*) FROM messages) = ?1,
            (SELECT count(*) FROM citations) = 2 * ?1";
        let all = |row: &rusqlite::Row| (0..5).map(|column| row.get::<_, bool>(column)).collect();
        Ok(connection.query_row(sql, [OTHERS as i64], all)?)
    });
    let tables: Result<Vec<bool>, StoreError> = tables.await;
    assert_eq!(tables.unwrap(), [true; 5], "the others' rows, and only these");
}

#[tokio::test]
async fn a_deleted_conversation_and_what_is_old_are_gone_and_the_rest_stays() {
    let store = Store::in_memory().unwrap();
    let (_, old) = ask(&store, SessionOf::New, "old", "answered").await;
    let (_, deleted) = ask(&store, SessionOf::New, "deleted", "answered").await;
    store.delete_session(&deleted).await.unwrap();
    assert!(matches!(store.delete_session(&deleted).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.conversation(&deleted).await, Err(StoreError::NotFound { .. })));
    let new =
        NewKey { name: "k".into(), role: Role::Admin, requests_per_minute: None, tokens_per_minute: None };
    store.make_key(new).await.unwrap();
    assert_eq!(store.purge(Timestamp::now().before(std::time::Duration::from_secs(60))).await.unwrap(), 0);
    // The clock moves on between what goes and what stays.
    let before = Timestamp::now();
    while Timestamp::now() == before {
        tokio::task::yield_now().await;
    }
    let cut = Timestamp::now();
    let (_, kept) = ask(&store, SessionOf::New, "new", "answered").await;
    assert_eq!(store.purge(cut).await.unwrap(), 1);
    assert!(store.session(&old).await.is_err() && store.session(&kept).await.is_ok());
    assert_eq!(store.keys().len(), 1);
}

#[tokio::test]
async fn an_answer_whose_conversation_is_deleted_says_so() {
    let store = Store::in_memory().unwrap();
    let turn = store.begin(NewTurn { session: SessionOf::New, ..NewTurn::default() }).await.unwrap();
    store.delete_session(turn.session().unwrap()).await.unwrap();
    let finished = Finished { answer: answer("x", "answered", "a.md"), ..Finished::default() };
    assert!(matches!(turn.finish(finished).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn sql_in_every_field_is_data() {
    let store = Store::in_memory().unwrap();
    for evil in ["'; DROP TABLE turns; --", "\" OR 1=1 --", "%_\\", "a\0b", "\u{202e}x", ":id ?1 $x", "🔥"]
    {
        let text = || evil.to_string();
        let turn = NewTurn {
            session: SessionOf::New,
            customer: Some(text()),
            caller: Some(text()),
            endpoint: text(),
            model: Some(text()),
            adapter: Some(text()),
            language: Some(text()),
            question: text(),
            described: Some(serde_json::json!({evil: evil})),
            received: None,
        };
        let turn = store.begin(turn).await.unwrap();
        let (id, session) = (turn.id().to_string(), turn.session().unwrap().to_string());
        let answer = answer(evil, "answered", evil);
        turn.finish(Finished { answer: answer.clone(), ..Finished::default() }).await.unwrap();
        let stored = store.turn(&id).await.unwrap();
        assert_eq!((stored.question.as_str(), stored.customer.as_deref()), (evil, Some(evil)));
        assert_eq!((stored.endpoint.as_str(), stored.answer), (evil, Some(answer)));
        assert_eq!(stored.described, Some(serde_json::json!({evil: evil})));
        let feedback = Feedback { rating: Rating::Up, correction: Some(text()), remark: Some(text()) };
        store.rate(&id, feedback.clone()).await.unwrap();
        let message =
            NewMessage { role: MessageRole::Agent, agent: Some(text()), text: text(), html: Some(text()) };
        store.add_message(&session, message).await.unwrap();
        let filter =
            SessionFilter { customer: Some(text()), query: Some(text()), ..SessionFilter::default() };
        let page = store.sessions(filter).await.unwrap();
        assert_eq!((page.data.len(), page.data[0].session.agent.as_deref()), (1, Some(evil)));
        let shown = store.conversation(&session).await.unwrap();
        assert_eq!(shown.messages[1].feedback, Some(feedback));
        assert_eq!(shown.messages[2].text, evil);
        let new =
            NewKey { name: text(), role: Role::Client, requests_per_minute: None, tokens_per_minute: None };
        assert_eq!(store.make_key(new).await.unwrap().0.name, evil);
        assert!(store.turn(evil).await.is_err() && store.session(evil).await.is_err());
        assert_eq!(store.delete_customer(evil).await.unwrap(), 1);
    }
    assert_eq!(store.turns(TurnFilter::default()).await.unwrap().data.len(), 0);
}
