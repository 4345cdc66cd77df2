//! `POST /v1/embeddings`: OpenAI's vectors of texts.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocking;
use crate::embeddings::Embeddings;
use crate::error::ApiError;
use crate::http::auth::{Client, Require};
use crate::http::body::JsonBody;
use crate::openai::{Described, Fields, Ignored};
use crate::state::Shared;

/// Most texts of a request, OpenAI's limit.
const MAX_TEXTS: usize = 2048;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string or a list of strings; token ids are not taken, as the embedder has its own"
)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// How vectors are written.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    /// The bytes of little-endian 32-bit floats.
    Base64,
}

impl Encoding {
    fn write(self, vector: &[f32]) -> Value {
        match self {
            Self::Float => vector.into(),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                BASE64_STANDARD.encode(bytes).into()
            }
        }
    }
}

/// Embeds the texts.
pub async fn embeddings(
    State(state): State<Shared>,
    caller: Require<Client>,
    JsonBody(mut fields): JsonBody<Fields>,
) -> Result<Response, ApiError> {
    let Some(embedder) = &state.embeddings else {
        return Err(ApiError::unavailable("this server has no embedder; start it with --knowledge"));
    };
    let model: Option<String> = fields.take("model")?;
    if let Some(name) = model.filter(|name| *name != embedder.model && !state.settings.any_model) {
        return Err(ApiError::model_not_found(&name, &[&embedder.model]));
    }
    Described::take(&mut fields)?; // checked, and not kept: an embedding is no turn
    let encoding = fields.take("encoding_format")?.unwrap_or(Encoding::Float);
    let why = format!("the embedder's vectors have {} numbers and are not shortened", embedder.dimensions);
    fields.refuse("dimensions", |dimensions| *dimensions == embedder.dimensions, &why)?;
    let texts = match fields.require("input")? {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if texts.is_empty() || texts.len() > MAX_TEXTS {
        let why = format!("it has {} texts; it must have from 1 to {MAX_TEXTS}", texts.len());
        return Err(fields.refused("input", why));
    }
    if texts.iter().any(String::is_empty) {
        return Err(fields.refused("input", "a text is empty"));
    }
    let mut ignored = Ignored::default();
    ignored.add(&fields);
    ignored.check(state.settings.strict)?;

    let (model, shared) = (embedder.model.clone(), state.clone());
    let turn = state.asking.place()?.turn().await?;
    let (data, tokens) = blocking(move || {
        let Some(embedder) = &shared.embeddings else { return Err(ApiError::unavailable("no embedder")) };
        embed(embedder, &texts, encoding)
    })
    .await?;
    drop(turn);
    state.limits.charge(&caller, tokens as u64);
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let body = json!({"object": "list", "data": data, "model": model, "usage": usage});
    Ok(ignored.named_in(Json(body).into_response()))
}

/// The texts' vectors and the count of their tokens. Lengths are checked first: an embedder would leave out the end of
/// a text that is too long.
fn embed(
    embedder: &Embeddings,
    texts: &[String],
    encoding: Encoding,
) -> Result<(Vec<Value>, usize), ApiError> {
    let failed = |error: anyhow::Error| ApiError::failed("embedding", format!("{error:#}"));
    let mut tokens = 0;
    for (index, text) in texts.iter().enumerate() {
        let count = (embedder.count_tokens)(text).map_err(failed)?;
        if count > embedder.max_tokens {
            let message = format!(
                "input[{index}] has {count} tokens; the embedder reads {} at most",
                embedder.max_tokens
            );
            return Err(ApiError::too_long(message).with_param("input"));
        }
        tokens += count;
    }
    let mut data = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let vector = (embedder.embed)(text).map_err(failed)?;
        data.push(json!({"object": "embedding", "index": index, "embedding": encoding.write(&vector)}));
    }
    Ok((data, tokens))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::Server;

    const PATH: &str = "/v1/embeddings";

    #[tokio::test]
    async fn texts_become_vectors_in_either_form() {
        let server = Server::with_extras();
        let (status, body) = server.post(PATH, json!({"input": "abc", "model": "ruler"})).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["data"], json!([{"object": "embedding", "index": 0, "embedding": [3.0, 0.5]}]));
        assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("ruler")));
        assert_eq!(body["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
        let many = json!({"input": ["a", "abcd"], "encoding_format": "base64", "dimensions": 2, "user": "u"});
        let (_, body) = server.post(PATH, many).await;
        // 1, 0.5 and 4, 0.5 as little-endian floats.
        assert_eq!(body["data"][0]["embedding"], "AACAPwAAAD8=");
        assert_eq!(
            (&body["data"][1]["embedding"], &body["data"][1]["index"]),
            (&json!("AACAQAAAAD8="), &json!(1))
        );
        assert_eq!(body["usage"]["total_tokens"], 5);
    }

    #[tokio::test]
    async fn inputs_that_cannot_be_embedded_say_why() {
        let server = Server::with_extras();
        for (body, status, param) in [
            (json!({}), 400, json!("input")),
            (json!({"input": ""}), 400, json!("input")),
            (json!({"input": []}), 400, json!("input")),
            (json!({"input": ["a", ""]}), 400, json!("input")),
            (json!({"input": [1, 2]}), 400, json!("input")),
            (json!({"input": vec!["a"; 2049]}), 400, json!("input")),
            (json!({"input": "x".repeat(11)}), 400, json!("input")),
            (json!({"input": "a", "dimensions": 3}), 400, json!("dimensions")),
            (json!({"input": "a", "encoding_format": "int8"}), 400, json!("encoding_format")),
            (json!({"input": "a", "model": "text-embedding-3-small"}), 404, json!("model")),
        ] {
            let (got, answer) = server.post(PATH, body).await;
            assert_eq!((got.as_u16(), &answer["error"]["param"]), (status, &param), "{answer}");
        }
        let (status, answer) = Server::without_knowledge().post(PATH, json!({"input": "a"})).await;
        assert_eq!((status.as_u16(), &answer["error"]["param"]), (503, &Value::Null));
    }
}
