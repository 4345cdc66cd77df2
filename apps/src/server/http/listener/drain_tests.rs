//! How the server stops.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::stream::{self, StreamExt};

use super::super::shutdown::{Shutdown, Stage};
use super::super::testing::routes;
use super::ListenerOptions;
use super::testing::{PATIENT, Running, SHORT};

/// `/feed` says something and then nothing until `stage`, when it says goodbye; `/stuck` never does.
fn feed(shutdown: &Shutdown, stage: Stage) -> Router {
    let shutdown = shutdown.clone();
    let events = async move || {
        let events = stream::iter(["hello\n"]).chain(stream::pending());
        let events = shutdown.end_stream(stage, events, || "goodbye\n");
        Body::from_stream(events.map(Ok::<_, Infallible>))
    };
    let stuck = async || {
        let events = stream::iter(["hello\n"]).chain(stream::pending());
        Body::from_stream(events.map(Ok::<_, Infallible>))
    };
    routes().route("/feed", get(events)).route("/stuck", get(stuck))
}

const FEED: &str = "GET /feed HTTP/1.1\r\nhost: localhost\r\n\r\n";
const STUCK: &str = "GET /stuck HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_feed_ends_with_its_last_event_when_the_server_drains() {
    let server = Running::start(PATIENT, |shutdown| feed(shutdown, Stage::Draining)).await;
    let (mut client, mut idle) = (server.connect().await, server.connect().await);
    client.send(FEED).await;
    client.until("hello").await;
    server.shutdown.advance(Stage::Draining);
    let rest = client.rest().await;
    assert!(rest.contains("goodbye"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "the stream is whole: {rest:?}");
    assert_eq!(idle.rest().await, "");
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn an_answer_under_way_may_end_within_the_grace_period() {
    let (finish, finished) = tokio::sync::watch::channel(false);
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let slow = async move || {
        begun.send(()).await.unwrap();
        finished.clone().wait_for(|&finished| finished).await.unwrap();
        "done"
    };
    let server = Running::start(PATIENT, |_| Router::new().route("/slow", get(slow))).await;
    let mut client = server.connect().await;
    client.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    has_begun.recv().await.unwrap();
    server.shutdown.advance(Stage::Draining);
    finish.send(true).unwrap();
    let answer = client.rest().await;
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn after_the_grace_period_streams_say_goodbye_and_the_rest_is_cut() {
    let options = ListenerOptions { grace: SHORT, ..PATIENT };
    let server = Running::start(options, |shutdown| feed(shutdown, Stage::Closing)).await;
    let (mut client, mut stuck) = (server.connect().await, server.connect().await);
    client.send(FEED).await;
    client.until("hello").await;
    stuck.send(STUCK).await;
    stuck.until("hello").await;
    server.shutdown.advance(Stage::Draining);
    assert!(client.rest().await.contains("goodbye"));
    assert!(!stuck.rest().await.contains("0\r\n\r\n"), "cut, and the client can tell");
    assert_eq!(server.ended().await, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let server = Running::start(PATIENT, |shutdown| feed(shutdown, Stage::Draining)).await;
    let signals = tokio::spawn(server.shutdown.clone().follow_signals());
    // Signals are listened to when the task has run once, as the server's answer below shows for a single thread.
    let (mut client, mut stuck) = (server.connect().await, server.connect().await);
    client.send(FEED).await;
    client.until("hello").await;
    stuck.send(STUCK).await;
    stuck.until("hello").await;
    let terminate = || {
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    };
    terminate();
    assert!(client.rest().await.contains("goodbye"));
    assert_eq!(server.shutdown.stage(), Stage::Draining, "the stuck answer has ten minutes");
    terminate();
    assert!(!stuck.rest().await.contains("0\r\n\r\n"), "cut, and the client can tell");
    assert!(server.ended().await <= 1);
    tokio::time::timeout(Duration::from_secs(30), signals).await.unwrap().unwrap().unwrap();
}
