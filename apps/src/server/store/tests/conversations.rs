//! Turns, messages, feedback, listings and the status machine.

use serde_json::json;

use super::{answer, ask};
use crate::store::*;

#[tokio::test]
async fn a_turn_is_there_before_its_answer_and_whole_after_it() {
    let store = Store::in_memory().unwrap();
    let turn = NewTurn {
        session: SessionOf::New,
        customer: Some("c-7".into()),
        endpoint: "/v1/ask".into(),
        model: Some("smol".into()),
        question: "How?".into(),
        described: Some(json!({"user": "jane@example.com", "metadata": {"plan": "pro"}})),
        ..NewTurn::default()
    };
    let turn = store.begin(turn).await.unwrap();
    let (id, session) = (turn.id().to_string(), turn.session().unwrap().to_string());
    let open = store.turn(&id).await.unwrap();
    assert_eq!((open.state, open.answer.is_none()), (TurnState::Open, true));
    assert_eq!(open.described.unwrap(), json!({"user": "[email]", "metadata": {"plan": "pro"}}));
    let whole = answer("So.", "answered", "how.md");
    let finished = Finished {
        answer: whole.clone(),
        prompt_tokens: Some(40),
        queued_ms: Some(1.5),
        ..Finished::default()
    };
    turn.finish(finished).await.unwrap();
    let done = store.turn(&id).await.unwrap();
    assert_eq!((done.state, done.outcome), (TurnState::Done, Some(Outcome::Answered)));
    assert_eq!((done.prompt_tokens, done.queued_ms), (Some(40), Some(1.5)));
    assert_eq!(done.answer, Some(whole));
    assert!(done.total_ms.is_some() && done.done.is_some());
    let shown = serde_json::to_value(store.conversation(&session).await.unwrap()).unwrap();
    assert_eq!((&shown["customer"], &shown["status"]), (&json!("c-7"), &json!("open")));
    let roles: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles, ["customer", "assistant"]);
    assert_eq!(shown["messages"][1]["html"], "<p>So.</p>");
    assert_eq!(shown["messages"][1]["answer"]["answered"], true);
}

#[tokio::test]
async fn what_is_dropped_is_abandoned_and_what_fails_says_why() {
    let store = Store::in_memory().unwrap();
    let turn = store.begin(NewTurn::default()).await.unwrap();
    let id = turn.id().to_string();
    drop(turn);
    let failing = store.begin(NewTurn::default()).await.unwrap();
    let failed = failing.id().to_string();
    failing.fail("the model stopped").await.unwrap();
    assert_eq!(store.turn(&id).await.unwrap().state, TurnState::Abandoned);
    let failed = store.turn(&failed).await.unwrap();
    assert_eq!((failed.state, failed.error.as_deref()), (TurnState::Failed, Some("the model stopped")));
}

#[tokio::test]
async fn a_request_that_goes_away_while_it_begins_leaves_no_open_turn() {
    let store = Store::in_memory().unwrap();
    for _ in 0..50 {
        let begin = store.begin(NewTurn::default());
        tokio::select! { biased; _ = begin => {}, () = tokio::task::yield_now() => {} }
    }
    // A write that comes after all of these.
    ask(&store, SessionOf::None, "x", "answered").await;
    let open = store
        .read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM turns WHERE state = 'open'", (), |row| {
                row.get::<_, i64>(0)
            })?)
        })
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn a_conversation_goes_to_a_person_and_back() {
    let store = Store::in_memory().unwrap();
    let (_, id) = ask(&store, SessionOf::New, "I want a person", "handoff").await;
    let session = store.session(&id).await.unwrap();
    assert!(session.status == Status::Waiting && session.waiting_since.is_some());
    let agent = |text: &str| NewMessage {
        role: MessageRole::Agent,
        agent: Some("Ann".into()),
        text: text.into(),
        html: None,
    };
    store.add_message(&id, agent("Hello <you>")).await.unwrap();
    let taken = store.session(&id).await.unwrap();
    assert_eq!((taken.status, taken.agent.as_deref()), (Status::Taken, Some("Ann")));
    assert_eq!(taken.waiting_since, None);
    let refused = store.set_status(&id, Status::Waiting, None, Actor::Customer).await;
    assert!(matches!(refused, Err(StoreError::Transition { from: Status::Taken, to: Status::Waiting })));
    let customer = NewMessage { role: MessageRole::Customer, agent: None, text: "Thanks".into(), html: None };
    store.add_message(&id, customer.clone()).await.unwrap();
    let resolved = store.set_status(&id, Status::Resolved, None, Actor::Customer).await.unwrap();
    assert_eq!(resolved.agent.as_deref(), Some("Ann"));
    let refused = store.add_message(&id, customer).await.unwrap_err().to_string();
    assert!(refused.contains("no person has"), "{refused}");
    ask(&store, SessionOf::Existing(id.clone()), "And now?", "answered").await;
    let conversation = store.conversation(&id).await.unwrap();
    assert_eq!(conversation.session.status, Status::Open);
    let texts: Vec<_> = conversation.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["I want a person", "So it is.", "Hello <you>", "Thanks", "And now?", "So it is."]);
    assert_eq!(conversation.messages[2].html, "Hello &lt;you&gt;");
}

#[tokio::test]
async fn only_agents_take_and_only_with_a_name() {
    let store = Store::in_memory().unwrap();
    let (_, id) = ask(&store, SessionOf::New, "x", "answered").await;
    assert!(store.set_status(&id, Status::Taken, Some("Ann".into()), Actor::Customer).await.is_err());
    assert!(store.set_status(&id, Status::Taken, Some(" ".into()), Actor::Agent).await.is_err());
    store.set_status(&id, Status::Taken, Some("Ann".into()), Actor::Agent).await.unwrap();
    let open = store.set_status(&id, Status::Open, None, Actor::Agent).await.unwrap();
    assert_eq!((open.status, open.agent), (Status::Open, None));
}

#[tokio::test]
async fn a_conversation_stays_with_its_customer() {
    let store = Store::in_memory().unwrap();
    let turn =
        |session, customer: &str| NewTurn { session, customer: Some(customer.into()), ..NewTurn::default() };
    let first = store.begin(turn(SessionOf::New, "a")).await.unwrap();
    let id = SessionOf::Existing(first.session().unwrap().to_string());
    assert!(matches!(store.begin(turn(id, "b")).await, Err(StoreError::Invalid { field: "customer", .. })));
    let unknown = store.begin(turn(SessionOf::Existing("nope".into()), "a")).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { noun: "session", .. })));
}

#[tokio::test]
async fn the_second_rating_replaces_the_first() {
    let store = Store::in_memory().unwrap();
    let (turn, session) = ask(&store, SessionOf::New, "x", "answered").await;
    let rate = |rating, remark: &str| Feedback { rating, correction: None, remark: Some(remark.into()) };
    store.rate(&turn, rate(Rating::Up, "good")).await.unwrap();
    store.rate(&turn, rate(Rating::Down, "call +49 30 1234567")).await.unwrap();
    let conversation = store.conversation(&session).await.unwrap();
    assert_eq!(conversation.messages[1].feedback, Some(rate(Rating::Down, "call [phone]")));
    assert!(store.rate("nope", rate(Rating::Up, "")).await.is_err());
}

#[tokio::test]
async fn listings_go_page_by_page_and_each_row_comes_once() {
    let store = Store::in_memory().unwrap();
    for number in 0..7 {
        ask(&store, SessionOf::New, &format!("Straße {number}"), "answered").await;
    }
    ask(&store, SessionOf::New, "other", "no_answer").await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let filter =
            SessionFilter { query: Some("STRAßE".into()), limit: 3, before, ..SessionFilter::default() };
        let page = store.sessions(filter).await.unwrap();
        seen.extend(page.data.into_iter().map(|row| row.last.unwrap()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..7).rev().map(|number| format!("Straße {number}")).collect();
    assert_eq!(seen, expected);
    let filter = TurnFilter { outcome: Some(Outcome::NoAnswer), ..TurnFilter::default() };
    let turns = store.turns(filter).await.unwrap();
    assert_eq!((turns.data.len(), turns.data[0].question.as_str()), (1, "other"));
    let filter = TurnFilter { limit: 5, ..TurnFilter::default() };
    let first = store.turns(filter.clone()).await.unwrap();
    let rest = store.turns(TurnFilter { before: first.next, ..filter }).await.unwrap();
    assert_eq!((first.data.len(), rest.data.len(), rest.next), (5, 3, None));
}

#[tokio::test]
async fn a_percent_sign_in_a_query_is_a_percent_sign() {
    let store = Store::in_memory().unwrap();
    ask(&store, SessionOf::New, "10% off", "answered").await;
    ask(&store, SessionOf::New, "10 off", "answered").await;
    let query = |query: &str| TurnFilter { query: Some(query.into()), ..TurnFilter::default() };
    assert_eq!(store.turns(query("0%")).await.unwrap().data.len(), 1);
    assert_eq!(store.turns(query("_")).await.unwrap().data.len(), 0);
}

#[tokio::test]
async fn the_export_has_a_conversation_a_line() {
    let store = Store::in_memory().unwrap();
    for number in 0..3 {
        ask(&store, SessionOf::New, &format!("line\nbreak {number}"), "answered").await;
    }
    let now = Timestamp::now();
    let hour = std::time::Duration::from_secs(3600);
    let lines: Vec<String> =
        store.export(now.before(hour), now.after(hour)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(lines.len(), 3);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["messages"][0]["text"], format!("line\nbreak {number}"));
    }
    assert_eq!(store.export(now.after(hour), now.after(hour * 2)).unwrap().count(), 0);
}

#[tokio::test]
async fn customers_values_are_redacted_and_the_articles_are_not() {
    let store = Store::in_memory().unwrap();
    let turn = NewTurn { question: "Reach me at a@b.de".into(), ..NewTurn::default() };
    let turn = store.begin(turn).await.unwrap();
    let id = turn.id().to_string();
    let answer = answer("Call +49 30 555 0100, not +49 30 999 8877.", "answered", "help.md");
    turn.finish(Finished { answer, ..Finished::default() }).await.unwrap();
    let stored = store.turn(&id).await.unwrap();
    assert_eq!(stored.question, "Reach me at [email]");
    assert_eq!(stored.answer_text.as_deref(), Some("Call +49 30 555 0100, not [phone]."));
    let whole = stored.answer.unwrap();
    assert_eq!(whole["answer"], "Call +49 30 555 0100, not [phone].");
    assert_eq!(whole["context"][0]["text"], "Call +49 30 555 0100.");
    let plain = Store::in_memory_with(StoreOptions { redact: false, ..StoreOptions::default() }).unwrap();
    let (id, _) = ask(&plain, SessionOf::None, "a@b.de", "answered").await;
    assert_eq!(plain.turn(&id).await.unwrap().question, "a@b.de");
}
