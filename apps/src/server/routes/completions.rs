//! `POST /v1/completions`: OpenAI's continuation of a raw prompt.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::openai::{Endpoint, OpenAiParameters, respond};
use super::parameters::OneOrMany;
use super::{Body, blocking};
use crate::error::ApiError;
use crate::state::Shared;

/// OpenAI's default.
const MAX_TOKENS: usize = 16;

/// The body.
#[derive(Debug, Deserialize)]
pub struct CompletionRequest {
    prompt: OneOrMany,
    #[serde(flatten)]
    parameters: OpenAiParameters,
}

/// Continues the prompt.
pub async fn completions(
    State(state): State<Shared>,
    Body(body): Body<CompletionRequest>,
) -> Result<Response, ApiError> {
    let Ok([prompt]) = <[String; 1]>::try_from(body.prompt.into_vec()) else {
        let message = "prompt is a list; this server takes one prompt per request";
        return Err(ApiError::bad_request(message).with_param("prompt"));
    };
    let prompts = state.prompts.clone();
    let prompt = blocking(move || prompts.raw(&prompt)).await?;
    let request = body.parameters.request(prompt, MAX_TOKENS)?;
    respond(&state, Endpoint::Text, &body.parameters, request).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{events, server};

    const PATH: &str = "/v1/completions";

    #[tokio::test]
    async fn a_raw_prompt_is_continued() {
        for prompt in [json!("Hello\n"), json!(["Hello\n"])] {
            let (status, answer) = server().post(PATH, json!({"prompt": prompt, "temperature": 0})).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["object"], "text_completion");
            assert_eq!(answer["choices"][0]["text"], "Hello");
            assert_eq!(answer["usage"]["total_tokens"], 12);
        }
        let (status, answer) = server().post(PATH, json!({"prompt": ["a", "b"]})).await;
        assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!("prompt")));
    }

    #[tokio::test]
    async fn the_same_as_a_stream() {
        let request = json!({"prompt": "Hello\n", "temperature": 0, "stream": true, "max_tokens": 4});
        let (_, events) = events(server().send(PATH, request.to_string()).await).await;
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done, "[DONE]");
        let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, "Hell");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_text() {
        let request = |seed: i64| json!({"prompt": "~", "temperature": 30, "seed": seed, "max_tokens": 20, "ignore_eos": true});
        let server = server();
        let text = async |seed| server.post(PATH, request(seed)).await.1["choices"][0]["text"].clone();
        assert_eq!(text(-7).await, text(-7).await);
        assert_ne!(text(-7).await, text(8).await);
    }
}
