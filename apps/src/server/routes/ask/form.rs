//! The JSON of an answer.

use std::time::Duration;

use rag::{Answer, Cited, Hit, Metadata, Outcome, Scores};
use serde_json::{Value, json};

use super::Wording;
use crate::markdown::{to_html, to_inline_html};

/// When parts of an answer were ready, since the request was received.
pub struct Times {
    /// Work began.
    pub queued: Duration,
    /// The articles' sentences were chosen.
    pub retrieved: Duration,
    /// All was ready.
    pub total: Duration,
}

/// The name of an outcome.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::NoAnswer => "no_answer",
        Outcome::Talk => "talk",
        Outcome::Handoff => "handoff",
    }
}

/// The answer to `question`, of the turn `id`.
pub fn shown(
    question: &str,
    answer: &Answer,
    worded_by: Wording,
    times: &Times,
    id: &str,
    session: Option<&str>,
) -> Value {
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
    let handoff = match answer.outcome {
        Outcome::NoAnswer => Some("no_answer"),
        Outcome::Handoff => Some("asked_for_a_person"),
        Outcome::Answered | Outcome::Talk => None,
    };
    let sentence = |cited: &Cited| {
        json!({
            "text": cited.text,
            "html": to_inline_html(&cited.text),
            "citation": cited.passage + 1,
            "range": [cited.range.start, cited.range.end],
            "probability": cited.probability,
        })
    };
    let wording = if worded_by == Wording::Model { "model" } else { "articles" };
    json!({
        "id": id,
        "session": session,
        "question": question,
        "answer": answer.text,
        "html": to_html(&answer.text),
        "answered": answer.outcome == Outcome::Answered,
        "outcome": outcome(answer.outcome),
        "intent": answer.recognised.intent.name(),
        "handoff": handoff.map(|reason| json!({"reason": reason})),
        "language": answer.language,
        "wording": (answer.outcome == Outcome::Answered).then_some(wording),
        "sentences": answer.sentences.iter().map(sentence).collect::<Vec<_>>(),
        "context": answer.passages.iter().enumerate().map(|(at, hit)| passage(at + 1, hit)).collect::<Vec<_>>(),
        "no_answer_probability": answer.no_answer,
        "searched": answer.searched,
        "timings": {
            "queue_ms": ms(times.queued),
            "retrieve_ms": ms(times.retrieved.saturating_sub(times.queued)),
            "generate_ms": ms(times.total.saturating_sub(times.retrieved)),
            "total_ms": ms(times.total),
        },
    })
}

/// What a document's file says of it, without what it does not say.
pub fn metadata(metadata: &Metadata) -> Value {
    let mut shown = json!(metadata);
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}

/// A passage as answers and searches list it.
pub fn passage(number: usize, hit: &Hit) -> Value {
    let Scores { dense, lexical, fused } = hit.scores;
    json!({
        "number": number,
        "text": hit.text,
        "title": hit.title,
        "source": hit.source,
        "document": hit.document,
        "headings": hit.headings,
        "metadata": metadata(&hit.metadata),
        "score": fused,
        "scores": {"dense": dense, "lexical": lexical, "fused": fused},
    })
}
