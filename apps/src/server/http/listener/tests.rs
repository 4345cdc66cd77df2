//! Clients that are slow, silent or too many.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::stream::{self, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::super::connection::Timeouts;
use super::super::testing::{edge, routes};
use super::ListenerOptions;
use super::testing::{PATIENT, Running, SHORT};

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
const CLIENT: &str = "GET /client HTTP/1.1\r\nhost: localhost\r\n\r\n";
const NEVER: &str = "GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n";
const POST: &str = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20\r\n\r\n{\"a\":";

fn with(timeouts: Timeouts) -> ListenerOptions {
    ListenerOptions { timeouts, ..PATIENT }
}

async fn start(options: ListenerOptions) -> Running {
    Running::start(options, |_| edge(&[]).wrap(routes())).await
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_closed() {
    let server = start(with(Timeouts { header: SHORT, ..PATIENT.timeouts })).await;
    let mut slow = server.connect().await;
    slow.send("POST /echo HTTP/1.1\r\nhost: loc").await;
    assert_eq!(slow.rest().await, "");
    // The next request's headers have the same limit.
    let mut second = server.connect().await;
    second.send(CLIENT).await;
    second.until("local").await;
    second.send("GET").await;
    assert!(!second.rest().await.contains("200 OK"));
}

#[tokio::test]
async fn bytes_that_trickle_do_not_lengthen_the_time_for_headers() {
    let server = start(with(Timeouts { header: SHORT, ..PATIENT.timeouts })).await;
    let slow = server.connect().await;
    let (mut read, mut write) = slow.0.into_split();
    let trickle = async {
        let mut beat = tokio::time::interval(SHORT / 10);
        let mut line = b"GET / HTTP/1.1\r\nx: ".to_vec();
        while tokio::io::AsyncWriteExt::write_all(&mut write, &line).await.is_ok() {
            line = b"x".to_vec();
            beat.tick().await;
        }
    };
    let mut bytes = Vec::new();
    tokio::select! {
        closed = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes) => { closed.ok(); }
        () = trickle => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("still open"),
    }
    assert!(bytes.is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_body_gets_408() {
    let server = start(with(Timeouts { body: SHORT, ..PATIENT.timeouts })).await;
    let mut slow = server.connect().await;
    slow.send(POST).await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("did not arrive in time: 5 bytes"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_and_after_a_request() {
    let server = start(with(Timeouts { idle: SHORT, ..PATIENT.timeouts })).await;
    assert_eq!(server.connect().await.rest().await, "");
    let mut used = server.connect().await;
    used.send(CLIENT).await;
    used.until("local").await;
    assert_eq!(used.rest().await, "");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_long_answer_is_closed() {
    let (dropped, mut is_dropped) = mpsc::channel::<()>(1);
    let flood = move || {
        let dropped = dropped.clone();
        let pieces = stream::repeat(vec![b'x'; 1 << 16]).map(move |piece| {
            let _held = &dropped;
            Ok::<_, Infallible>(piece)
        });
        async { Body::from_stream(pieces) }
    };
    let options = with(Timeouts { write: SHORT, ..PATIENT.timeouts });
    let server = Running::start(options, |_| Router::new().route("/flood", get(flood))).await;
    let mut client = server.connect().await;
    client.send("GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    client.until("200 OK").await;
    drop(server.app.send_replace(Router::new())); // which holds a sender too
    assert_eq!(is_dropped.recv().await, None, "all senders are gone, so is the answer");
}

#[tokio::test]
async fn an_answer_that_takes_long_is_not_cut_by_the_times_for_clients() {
    let options = with(Timeouts { idle: SHORT, header: SHORT, body: SHORT, write: SHORT });
    let routes = |_: &_| {
        let late = async || {
            tokio::time::sleep(SHORT * 4).await;
            "late"
        };
        Router::new().route("/late", get(late))
    };
    let server = Running::start(options, routes).await;
    let answer = server.once("GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.ends_with("late"), "{answer}");
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let server = start(ListenerOptions { connections: 64, spared: Duration::ZERO, ..PATIENT }).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.connect().await);
    }
    for request in [HEALTH, CLIENT] {
        let answer = server.once(request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(idle[0].rest().await, "", "the one that waited longest went first");
    assert!(server.metrics.connections_refused.get() >= 236);
}

#[tokio::test]
async fn health_answers_whatever_fills_the_other_connections() {
    let server = start(ListenerOptions { connections: 50, ..PATIENT }).await;
    let mut others = Vec::new();
    // Slow headers, slow bodies, answers under way and idle ones, 300 together.
    for part in ["GET /cl", POST, NEVER, "", "", ""].into_iter().cycle().take(300) {
        let mut client = server.connect().await;
        // One beyond the limit may be closed already.
        tokio::io::AsyncWriteExt::write_all(&mut client.0, part.as_bytes()).await.ok();
        others.push(client);
    }
    for _ in 0..10 {
        let answer = server.once(HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = server.once(CLIENT).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after") && answer.contains("overloaded"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_with_an_answer_under_way_does_not_make_room() {
    let (finish, finished) = oneshot::channel::<()>();
    let (begun, mut has_begun) = mpsc::channel(1);
    let finished = std::sync::Arc::new(tokio::sync::Mutex::new(finished));
    let slow = async move || {
        begun.send(()).await.unwrap();
        (&mut *finished.lock().await).await.unwrap();
        "done"
    };
    let options = ListenerOptions { connections: 1, spared: Duration::ZERO, ..PATIENT };
    let server = Running::start(options, |_| routes().route("/slow", get(slow))).await;
    let mut client = server.connect().await;
    client.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    has_begun.recv().await.unwrap();
    assert!(server.once(HEALTH).await.starts_with("HTTP/1.1 200"));
    assert!(server.once("GET /widget HTTP/1.1\r\nhost: localhost\r\n\r\n").await.starts_with("HTTP/1.1 503"));
    finish.send(()).unwrap();
    client.until("done").await;
}

#[tokio::test]
async fn an_answer_that_is_not_ready_in_time_is_504_and_a_stream_is_not_cut() {
    let mut edge = edge(&[]);
    edge.time_limit = SHORT;
    let trickle = async || {
        let mut beat = tokio::time::interval(SHORT);
        beat.reset();
        let lines = stream::unfold((beat, 0), async |(mut beat, number)| {
            beat.tick().await;
            (number < 4).then(|| (Ok::<_, Infallible>(format!("line {number}\n")), (beat, number + 1)))
        });
        Body::from_stream(lines)
    };
    let server = Running::start(PATIENT, |_| edge.wrap(routes().route("/trickle", get(trickle)))).await;
    let answer = server.once(NEVER).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    let answer = server.once("GET /trickle HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("line 3"), "{answer}");
}

#[tokio::test]
async fn a_fault_in_a_route_is_an_error_without_details() {
    let server = start(PATIENT).await;
    let answer = server.once("GET /panic HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("the request failed") && !answer.contains("secret"), "{answer}");
}

#[tokio::test]
async fn while_the_model_loads_the_server_is_alive_and_not_ready() {
    let server = Running::start(PATIENT, |_| super::super::loading()).await;
    let live = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert!(server.once(live).await.starts_with("HTTP/1.1 200"));
    for request in [HEALTH, CLIENT] {
        let answer = server.once(request).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("loading"), "{answer}");
    }
    // A connection from before takes what comes in place.
    let mut early = server.connect().await;
    let _before = server.app.send_replace(edge(&[]).wrap(routes()));
    early.send(CLIENT).await;
    assert!(early.until("local").await.starts_with("HTTP/1.1 200"));
}
