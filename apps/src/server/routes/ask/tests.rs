//! Questions over HTTP.

use serde_json::{Value, json};

use crate::testing::{Server, server};

const PATH: &str = "/v1/ask";
const OPENING: &str = "When do you open?";

async fn stream(
    server: &Server,
    method: &str,
    path: &str,
    body: Option<Value>,
    seen: &str,
) -> Vec<(String, Value)> {
    let response = match body {
        Some(body) => server.send(path, body.to_string()).await,
        None => server.request(method, path, &[("last-event-id", seen)]).await,
    };
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_string))
    };
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            (field(event, "event").unwrap(), serde_json::from_str(&field(event, "data").unwrap()).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn the_answer_comes_with_its_passages_and_times() {
    let server = server();
    let (status, body) = server.post(PATH, json!({"question": OPENING})).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["answer"], &body["outcome"]), (&json!("We open at 9. [1]"), &json!("answered")));
    assert_eq!((&body["answered"], &body["handoff"]), (&json!(true), &json!(null)));
    assert_eq!(
        (&body["sentences"][0]["citation"], &body["sentences"][0]["range"]),
        (&json!(1), &json!([0, 13]))
    );
    assert_eq!(body["sentences"][0]["html"], "We open at 9.");
    assert_eq!(
        (&body["context"][0]["source"], &body["context"][0]["number"]),
        (&json!("hours.md"), &json!(1))
    );
    assert_eq!(body["context"].as_array().unwrap().len(), 1, "only what is cited");
    for name in ["queue_ms", "retrieve_ms", "generate_ms", "total_ms"] {
        assert!(body["timings"][name].as_f64().unwrap() >= 0.0);
    }
    assert!(server.heard().is_empty(), "no model is needed for it");
}

#[tokio::test]
async fn where_nothing_is_found_a_person_is_asked() {
    let server = server();
    let question = "Who won the football match in Rome?";
    let (_, body) = server.post(PATH, json!({"question": question, "wording": "model"})).await;
    assert_eq!(
        (&body["answered"], &body["handoff"]["reason"]),
        (&json!(false), &json!("no_answer")),
        "{body}"
    );
    assert_eq!(body["context"], json!([]));
    assert!(server.heard().is_empty(), "nothing is generated");
    let (_, body) = server.post(PATH, json!({"question": question, "language": "de"})).await;
    assert!(body["answer"].as_str().unwrap().contains("Kolleg"), "{body}");
}

#[tokio::test]
async fn what_a_model_says_beyond_the_passages_is_not_sent() {
    // The model says the last line of its prompt again: the question.
    let server = server();
    let question = "Do you open at 9, and at 8 on Mondays?";
    let (_, body) = server.post(PATH, json!({"question": question, "wording": "model"})).await;
    assert!(server.heard()[0].contains("Hours\nWe open at 9."), "{:?}", server.heard());
    assert!(!body["answer"].as_str().unwrap().contains("Mondays"), "{body}");
    assert_eq!(body["wording"], "articles");
}

#[tokio::test]
async fn a_session_keeps_what_was_said_and_a_follow_up_knows_it() {
    let server = server();
    let (_, first) = server.post(PATH, json!({"question": OPENING, "customer": "c1"})).await;
    let session = first["session"].as_str().unwrap();
    let (status, second) =
        server.post(PATH, json!({"question": "and why?", "session": session, "customer": "c1"})).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(
        (&second["session"], &second["searched"]),
        (&json!(session), &json!(format!("{OPENING}\nand why?")))
    );
    let (_, conversation) = server.get(&format!("/v1/sessions/{session}")).await;
    let texts: Vec<&Value> =
        conversation["messages"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(texts[..3], [&json!(OPENING), &first["answer"], &json!("and why?")]);
    assert_eq!(conversation["messages"][1]["answer"]["context"], first["context"]);
    // An edited question: the history that is given counts.
    let history = json!([{"role": "user", "content": "What does it cost?"}]);
    let (_, edited) =
        server.post(PATH, json!({"question": "and why?", "session": session, "history": history})).await;
    assert_eq!(edited["searched"], "What does it cost?\nand why?");
    // Another's conversation is not continued.
    let (status, _) =
        server.post(PATH, json!({"question": "x?", "session": session, "customer": "c2"})).await;
    assert_eq!(status, 400);
    let (status, _) = server.post(PATH, json!({"question": "x?", "session": "nowhere"})).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_follow_up_knows_the_history_that_the_client_keeps() {
    let history = json!([{"role": "user", "content": OPENING}, {"role": "assistant", "content": "At 9."}]);
    let (_, body) = server().post(PATH, json!({"question": "and why?", "history": history})).await;
    let searched = format!("{OPENING}\nand why?");
    assert_eq!((&body["searched"], &body["session"]), (&json!(searched), &json!(null)));
}

#[tokio::test]
async fn a_stream_is_given_again_from_any_event_on() {
    let server = server();
    let events = stream(&server, "POST", PATH, Some(json!({"question": OPENING, "stream": true})), "").await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start", "sentence", "done"]);
    assert_eq!((&events[1].1["index"], &events[1].1["text"]), (&json!(0), &json!("We open at 9.")));
    let path = format!("/v1/turns/{}/events", events[0].1["id"].as_str().unwrap());
    let again = stream(&server, "GET", &path, None, "0").await;
    assert_eq!(again.len(), 2);
    assert_eq!(again[1].1, events[2].1, "what is stored is what was sent");
    assert_eq!(server.get("/v1/turns/none/events").await.0, 404);
}

#[tokio::test]
async fn a_wish_for_a_person_puts_the_conversation_into_the_inbox() {
    let server = server();
    let (_, body) = server.post(PATH, json!({"question": "I want to talk to a human"})).await;
    assert_eq!(body["outcome"], "handoff");
    let session = body["session"].as_str().unwrap();
    let (_, waiting) = server.get("/v1/sessions?status=waiting").await;
    assert_eq!(waiting["data"][0]["id"], session);
    let path = format!("/v1/sessions/{session}/messages");
    let (status, _) = server.post(&path, json!({"role": "agent", "text": "I am **Ada**."})).await;
    assert_eq!(status, 201);
    let (_, conversation) = server.get(&format!("/v1/sessions/{session}")).await;
    assert_eq!((&conversation["status"], &conversation["agent"]), (&json!("taken"), &json!("local")));
    let last = conversation["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["html"].as_str().unwrap().trim(), "<p>I am <strong>Ada</strong>.</p>");
    // Now the person answers, and not the assistant.
    let (status, error) = server.post(PATH, json!({"question": "ok?", "session": session})).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (409, &json!("session_taken")));
    assert_eq!(server.post(&path, json!({"role": "customer", "text": "Hello Ada"})).await.0, 201);
}

#[tokio::test]
async fn requests_that_cannot_be_answered_say_why() {
    let long = "x".repeat(20_000);
    for (body, part) in [
        (json!({"question": " "}), "the question is empty"),
        (json!({"question": long}), "a message of 20000 bytes is too long"),
        (json!({"question": "x", "history": [{"role": "user", "content": long}]}), "too long"),
        (json!({"question": "x", "history": [{"role": "clown", "content": "x"}]}), "unknown variant `clown`"),
        (json!({"question": "x", "k": 1}), "unknown field `k`"),
        (json!({"question": "x", "language": "tlh"}), "no replies in `tlh`"),
        (json!({"question": "x", "wording": "poet"}), "unknown variant `poet`"),
        (json!({"question": "x", "filter": {"colour": "red"}}), "unknown field `colour`"),
    ] {
        let (status, answer) = server().post(PATH, body).await;
        let message = answer["error"]["message"].as_str().unwrap().to_string();
        assert!(status.as_u16() == 400 && message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn without_a_knowledge_base_there_is_no_asking() {
    let (status, body) = Server::without_knowledge().post(PATH, json!({"question": "x"})).await;
    assert_eq!(status, 503);
    assert!(body["error"]["message"].as_str().unwrap().contains("--knowledge"));
}
