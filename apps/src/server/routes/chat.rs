//! `POST /v1/chat/completions`: OpenAI's chat.

use axum::extract::State;
use axum::response::Response;

use super::blocking;
use crate::error::ApiError;
use crate::http::auth::{Client, Require};
use crate::http::body::JsonBody;
use crate::openai::{
    Conversation, Described, Endpoint, Fields, Generation, Ignored, Reply, Streaming, chat_alternatives,
    refuse_chat_extras,
};
use crate::state::Shared;

/// Answers the conversation.
pub async fn chat(
    State(state): State<Shared>,
    caller: Require<Client>,
    JsonBody(mut fields): JsonBody<Fields>,
) -> Result<Response, ApiError> {
    let mut ignored = Ignored::default();
    let served = state.served(fields.take::<String>("model")?.as_deref())?.into_owned();
    let described = Described::take(&mut fields)?;
    refuse_chat_extras(&mut fields)?;
    let mut generation = Generation::take(&mut fields, &state.settings)?;
    let logprobs = chat_alternatives(&mut fields)?;
    let streaming = Streaming::take(&mut fields, &mut ignored)?;
    let conversation = Conversation::take(&mut fields, &mut ignored)?;
    ignored.add(&fields);
    ignored.check(state.settings.strict)?;

    generation.stop.extend(served.prompts.grounded_stops());
    let question = conversation.question();
    let (model, tokenizer) = (served.name, served.prompts.tokenizer.clone());
    let prompt =
        blocking(move || served.prompts.chat(&conversation.messages(served.prompts.template.as_ref())))
            .await?;
    let prompt_tokens = prompt.len();
    let longest = usize::MAX; // limited by the context length only
    let requests = generation.requests(&[prompt], longest, &served.adapter, logprobs);
    let (endpoint, echo) = (Endpoint::Chat, Vec::new());
    let reply = Reply { endpoint, model, tokenizer, streaming, echo, prompt_tokens, question, described };
    Ok(ignored.named_in(reply.send(&state, &caller, requests).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{events, server};

    const PATH: &str = "/v1/chat/completions";

    fn body(parameters: Value) -> Value {
        let mut body = json!({"model": "echo", "messages": [{"role": "user", "content": "Hello"}]});
        body["temperature"] = 0.into();
        body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        body
    }

    #[tokio::test]
    async fn an_answer_in_openais_form() {
        let (status, answer) = server().post(PATH, body(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["model"], "echo");
        assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
        assert_eq!(
            answer["choices"],
            json!([{"index": 0, "message": {"role": "assistant", "content": "user: Hello"}, "logprobs": null,
                "finish_reason": "stop"}])
        );
        // 12 bytes of prompt; the answer is the line and the end token.
        assert_eq!(
            answer["usage"],
            json!({"prompt_tokens": 12, "completion_tokens": 12, "total_tokens": 24})
        );
    }

    #[tokio::test]
    async fn max_tokens_and_stop_strings_end_the_answer() {
        for (parameters, text, finish) in [
            (json!({"max_tokens": 4}), "user", "length"),
            (json!({"max_completion_tokens": 4}), "user", "length"),
            (json!({"stop": ": "}), "user", "stop"),
            (json!({"stop": ["xyz", "Hell"]}), "user: ", "stop"),
        ] {
            let (_, answer) = server().post(PATH, body(parameters)).await;
            assert_eq!(answer["choices"][0]["message"]["content"], text);
            assert_eq!(answer["choices"][0]["finish_reason"], finish);
        }
    }

    #[tokio::test]
    async fn a_stream_of_chunks_ends_with_done() {
        let request = body(json!({"stream": true, "stop": ["lo"]}));
        let (content_type, events) = events(server().send(PATH, request.to_string()).await).await;
        assert_eq!(content_type, "text/event-stream");
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done, "[DONE]");
        let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk.get("usage").is_none()));
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        let text: String =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "user: Hel");
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(last["choices"][0]["delta"], json!({}));
    }

    #[tokio::test]
    async fn usage_in_the_stream_where_asked_for() {
        let request = body(json!({"stream": true, "stream_options": {"include_usage": true}}));
        let (_, events) = events(server().send(PATH, request.to_string()).await).await;
        let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(usage["usage"]["completion_tokens"], 12);
        let first: Value = serde_json::from_str(&events[0]).unwrap();
        assert_eq!(first["usage"], Value::Null);
        assert!(first.as_object().unwrap().contains_key("usage"));
    }

    #[tokio::test]
    async fn an_error_on_the_way_is_an_event() {
        let messages = json!([{"role": "user", "content": "\u{7}"}]);
        let request = body(json!({"stream": true, "messages": messages}));
        let (_, events) = events(server().send(PATH, request.to_string()).await).await;
        let error: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
        assert_eq!(error["error"]["type"], "server_error");
        assert_eq!(events.last().unwrap(), "[DONE]");
    }

    #[tokio::test]
    async fn content_may_come_in_parts_and_system_be_called_developer() {
        let parts = json!([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]);
        let messages =
            json!([{"role": "developer", "content": "Be kind."}, {"role": "user", "content": parts}]);
        let server = server();
        let (_, answer) = server.post(PATH, body(json!({"messages": messages}))).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "user: Hello");
        assert_eq!(server.heard(), ["system: Be kind.\nuser: Hello\n"]);
    }

    #[tokio::test]
    async fn requests_that_cannot_be_answered_say_why() {
        for (parameters, part, param) in [
            (json!({"messages": []}), "messages is empty", json!("messages")),
            (
                json!({"messages": [{"role": "user"}]}),
                "missing field `content`",
                json!("messages[0].content"),
            ),
            (
                json!({"messages": [{"role": "clown", "content": "x"}]}),
                "unknown variant `clown`",
                json!("messages[0].role"),
            ),
            (
                json!({"messages": [{"role": "user", "content": 3}]}),
                "must be a string or a list",
                json!("messages[0].content"),
            ),
            (json!({"n": 33}), "n is 33; it must be from 1 to 32", json!("n")),
            (json!({"n": 0}), "n is 0", json!("n")),
            (json!({"top_p": 1.5}), "top_p is 1.5; it must be from 0 to 1", json!("top_p")),
            (json!({"temperature": "hot"}), "invalid type: string \"hot\"", json!("temperature")),
            (json!({"stop": vec!["x"; 17]}), "stop has 17 strings", json!("stop")),
        ] {
            let (status, answer) = server().post(PATH, body(parameters.clone())).await;
            assert_eq!(status, 400, "{parameters}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(part), "{parameters}: {message}");
            assert_eq!(answer["error"]["param"], param, "{parameters}");
        }
        let long = json!([{"role": "user", "content": "x".repeat(1100)}]);
        let (status, answer) = server().post(PATH, body(json!({"messages": long}))).await;
        assert_eq!(
            (status.as_u16(), answer["error"]["code"].as_str()),
            (400, Some("context_length_exceeded"))
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_gives_its_place_up() {
        let (server, gate) = crate::testing::Server::gated();
        let response = server.send(PATH, body(json!({"stream": true})).to_string()).await;
        gate.wait_until_running();
        drop(response); // the client is gone
        gate.open();
        // Only what was under way was computed: at most the step that waited at the gate.
        let (status, _) = server.post(PATH, body(json!({}))).await;
        assert_eq!(status, 200);
        assert!(server.steps() <= 1 + 12, "{} steps", server.steps());
    }
}
