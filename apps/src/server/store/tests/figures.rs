//! The dashboard's figures.

use std::time::Duration;

use super::{answer, ask};
use crate::store::*;

const DAY: Duration = Duration::from_secs(86_400);

async fn ask_at(store: &Store, time: Timestamp, question: &str, outcome: &str) -> String {
    let turn = NewTurn {
        session: SessionOf::New,
        question: question.into(),
        received: Some(time),
        ..NewTurn::default()
    };
    let turn = store.begin(turn).await.unwrap();
    let id = turn.id().to_string();
    let document = if outcome == "answered" { "a.md" } else { "b.md" };
    turn.finish(Finished { answer: answer("x", outcome, document), ..Finished::default() }).await.unwrap();
    id
}

#[tokio::test]
async fn the_dashboard_counts_this_period_and_the_one_before() {
    let store = Store::in_memory().unwrap();
    let from: Timestamp = "2026-11-24".parse().unwrap();
    let to: Timestamp = "2026-12-01".parse().unwrap();
    ask_at(&store, from.before(DAY), "before", "answered").await;
    ask_at(&store, to, "after", "answered").await;
    let up = ask_at(&store, from, "a", "answered").await;
    let down = ask_at(&store, from.after(DAY), "b", "answered").await;
    ask_at(&store, from.after(DAY), "Do you ship to Mars?", "no_answer").await;
    ask_at(&store, from.after(DAY * 2), "do you ship to mars", "no_answer").await;
    ask_at(&store, from.after(DAY * 2), "a person!", "handoff").await;
    ask_at(&store, from.after(DAY * 2), "hello", "talk").await;
    let rate = |rating| Feedback { rating, correction: None, remark: None };
    store.rate(&up, rate(Rating::Up)).await.unwrap();
    store.rate(&down, rate(Rating::Down)).await.unwrap();
    let board = store.dashboard(from, to).await.unwrap();
    let now = &board.now;
    assert_eq!((now.asked, now.answered, now.no_answer, now.handoff, now.talk), (6, 2, 2, 1, 1));
    assert_eq!((now.conversations, now.resolved, now.thumbs_up, now.thumbs_down), (6, 1, 1, 1));
    assert_eq!((now.coverage, now.csat), (Some(0.5), Some(0.5)));
    assert_eq!((now.resolution_rate, now.handoff_rate), (Some(0.2), Some(0.2)));
    assert!(now.p50_ms <= now.p95_ms && now.p95_ms.is_some());
    assert_eq!((board.before.asked, board.before.coverage), (1, Some(1.0)));
    assert_eq!(board.days.len(), 7);
    assert_eq!((board.days[1].day.as_str(), board.days[1].asked), ("2026-11-25", 2));
    assert_eq!((board.unanswered[0].count, board.unanswered[0].sessions.len()), (2, 2));
    assert_eq!(board.unanswered[0].question, "do you ship to mars");
    let topics: Vec<_> = board.topics.iter().map(|topic| (topic.document.as_str(), topic.count)).collect();
    assert_eq!(topics, [("b.md", 4), ("a.md", 2)]);
    assert!(board.csv().contains("\n2026-11-26,3,0,1,1,1\n"), "{}", board.csv());
}

#[tokio::test]
async fn where_nothing_was_asked_there_are_no_rates() {
    let store = Store::in_memory().unwrap();
    let now = Timestamp::now();
    let board = store.dashboard(now.before(DAY), now).await.unwrap();
    assert_eq!(board.now, crate::store::period::Period::default());
    assert!(store.dashboard(now, now).await.is_err());
    assert!(store.dashboard(Timestamp::from_millis(0), now).await.is_err());
}

#[tokio::test]
async fn what_the_customer_takes_back_is_not_resolved() {
    let store = Store::in_memory().unwrap();
    let (_, session) = ask(&store, SessionOf::New, "a", "answered").await;
    let now = Timestamp::now();
    let resolved = async || store.dashboard(now.before(DAY), now.after(DAY)).await.unwrap().now.resolved;
    assert_eq!(resolved().await, 1);
    ask(&store, SessionOf::Existing(session.clone()), "thanks", "talk").await;
    assert_eq!(resolved().await, 1, "talk changes nothing");
    store.set_status(&session, Status::Waiting, None, Actor::Customer).await.unwrap();
    store.set_status(&session, Status::Resolved, None, Actor::Agent).await.unwrap();
    assert_eq!(resolved().await, 0, "a person was wanted");
}
