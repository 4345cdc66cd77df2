//! `POST /v1/ask`: answers a question from the knowledge base, and returns the passages used.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use llama::Request;
use rag::{Hit, Scores, join_hits};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, blocking};
use crate::error::ApiError;
use crate::state::{AppState, Shared};

/// Passages where the request does not say: a small model reads one well, and two worse than one.
const PASSAGES: usize = 1;
/// Most passages of a request.
const MAX_PASSAGES: usize = 20;
/// Longest answer, in tokens.
const MAX_TOKENS: usize = 192;

/// The body.
#[derive(Debug, Deserialize)]
pub struct AskRequest {
    question: String,
    k: Option<usize>,
}

/// Answers the question.
pub async fn ask(State(state): State<Shared>, Body(body): Body<AskRequest>) -> Result<Json<Value>, ApiError> {
    let start = Instant::now();
    let AskRequest { question, k } = body;
    if question.trim().is_empty() {
        return Err(ApiError::bad_request("the question is empty").with_param("question"));
    }
    let k = k.unwrap_or(PASSAGES);
    if !(1..=MAX_PASSAGES).contains(&k) {
        let message = format!("k is {k}; it must be from 1 to {MAX_PASSAGES}");
        return Err(ApiError::bad_request(message).with_param("k"));
    }
    let (shared, asked) = (state.clone(), question.clone());
    let (hits, prompt, retrieved) = blocking(move || {
        let hits = search(&shared, &asked, k)?;
        let retrieved = start.elapsed();
        let prompt = prompt(&shared, &asked, &hits)?;
        Ok((hits, prompt, retrieved))
    })
    .await?;
    let generate = Instant::now();
    let stop = state.prompts.grounded_stops();
    let answer = state.submit(Request { stop, ..Request::new(prompt, MAX_TOKENS) })?.complete().await?;
    let ms = |duration: std::time::Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
    let context: Vec<Value> = hits.iter().map(passage).collect();
    Ok(Json(json!({
        "question": question,
        "answer": answer.text.trim(),
        "context": context,
        "timings": {
            "retrieve_ms": ms(retrieved),
            "generate_ms": ms(generate.elapsed()),
            "total_ms": ms(start.elapsed()),
        },
    })))
}

/// A passage as the answer lists it. `score` is what the list is ordered by.
fn passage(hit: &Hit) -> Value {
    let Scores { dense, lexical, fused } = hit.scores;
    json!({
        "text": hit.text,
        "source": hit.source,
        "document": hit.document,
        "headings": hit.headings,
        "metadata": hit.metadata,
        "score": fused,
        "scores": {"dense": dense, "lexical": lexical, "fused": fused},
    })
}

fn search(state: &AppState, question: &str, k: usize) -> Result<Vec<Hit>, ApiError> {
    let search = state.search.as_ref().ok_or_else(|| {
        ApiError::unavailable("this server has no knowledge base; start it with --knowledge")
    })?;
    search(question, k).map_err(|error| ApiError::internal(format!("the search failed: {error:#}")))
}

/// The prompt with as many of the passages as leave room for an answer.
fn prompt(state: &AppState, question: &str, hits: &[Hit]) -> Result<Vec<u32>, ApiError> {
    let bare = state.prompts.grounded(question, None)?.len();
    let room = state.scheduler.context_length().saturating_sub(bare);
    // In a short context at least a quarter is kept for the answer.
    let budget = room.saturating_sub(MAX_TOKENS.min(room / 4));
    let count =
        |context: &str| state.prompts.grounded(question, Some(context)).map(|tokens| tokens.len() - bare);
    let context = join_hits(hits, budget, count)?;
    state.prompts.grounded(question, Some(context.as_str()).filter(|context| !context.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Server, server};

    const PATH: &str = "/v1/ask";

    #[tokio::test]
    async fn the_answer_comes_with_its_passages_and_times() {
        let server = server();
        let (status, body) = server.post(PATH, json!({"question": "Opening hours?", "k": 1})).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["question"], "Opening hours?");
        assert_eq!(body["answer"], "user: Opening hours?");
        let scores = json!({"dense": 0.25, "lexical": 0.125, "fused": 0.5});
        let metadata = json!({"topic": null, "language": null, "updated": null, "audience": null});
        let passage = json!({
            "text": "We open at 9.", "source": "hours.md", "document": "", "headings": [], "metadata": metadata,
            "score": 0.5, "scores": scores,
        });
        assert_eq!(body["context"], json!([passage]));
        for name in ["retrieve_ms", "generate_ms", "total_ms"] {
            assert!(body["timings"][name].as_f64().unwrap() >= 0.0);
        }
        assert!(server.heard()[0].contains("Hours\nWe open at 9."), "{:?}", server.heard());
    }

    #[tokio::test]
    async fn passages_that_leave_no_room_stay_out_of_the_prompt() {
        let server = server();
        let (status, body) = server.post(PATH, json!({"question": "Opening hours?", "k": 2})).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["context"].as_array().unwrap().len(), 2);
        assert!(!server.heard()[0].contains("long story"));
    }

    #[tokio::test]
    async fn requests_that_cannot_be_answered_say_why() {
        for (body, message) in [
            (json!({"question": " "}), "the question is empty"),
            (json!({"question": "x", "k": 0}), "k is 0; it must be from 1 to 20"),
            (json!({"question": "x", "k": 99}), "k is 99; it must be from 1 to 20"),
        ] {
            let (status, answer) = server().post(PATH, body).await;
            assert_eq!((status.as_u16(), answer["error"]["message"].as_str()), (400, Some(message)));
        }
    }

    #[tokio::test]
    async fn without_a_knowledge_base_there_is_no_asking() {
        let (status, body) = Server::without_knowledge().post(PATH, json!({"question": "x"})).await;
        assert_eq!(status, 503);
        assert!(body["error"]["message"].as_str().unwrap().contains("--knowledge"));
    }
}
