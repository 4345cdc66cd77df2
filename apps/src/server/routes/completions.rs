//! `POST /v1/completions`: OpenAI's continuation of raw prompts.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::blocking;
use crate::error::ApiError;
use crate::http::auth::{Client, Require};
use crate::http::body::JsonBody;
use crate::openai::{Described, Endpoint, Fields, Generation, Ignored, MOST_ALTERNATIVES, Reply, Streaming};
use crate::prompt::PromptWriter;
use crate::state::Shared;

/// OpenAI's default.
const MAX_TOKENS: usize = 16;

/// The field `prompt`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, a list of strings, a list of token ids, or a list of such lists"
)]
enum Prompts {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

/// One prompt.
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

impl Prompts {
    fn into_vec(self) -> Vec<Prompt> {
        match self {
            Self::Text(text) => vec![Prompt::Text(text)],
            Self::Tokens(tokens) => vec![Prompt::Tokens(tokens)],
            Self::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
            Self::TokenLists(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
        }
    }
}

impl Prompt {
    /// Its tokens, and its text if that is wanted.
    fn encode(
        self,
        prompts: &PromptWriter,
        add_special: bool,
        echo: bool,
    ) -> Result<(Vec<u32>, Option<String>), ApiError> {
        match self {
            Self::Text(text) => {
                let tokens = prompts.raw(&text, add_special).map_err(|error| error.with_param("prompt"))?;
                Ok((tokens, echo.then_some(text)))
            }
            Self::Tokens(tokens) if tokens.is_empty() => {
                Err(ApiError::bad_request("the prompt is empty").with_param("prompt"))
            }
            Self::Tokens(tokens) => {
                let text = echo.then(|| prompts.tokenizer.decode(&tokens, false));
                Ok((tokens, text))
            }
        }
    }
}

/// Continues the prompts.
pub async fn completions(
    State(state): State<Shared>,
    caller: Require<Client>,
    JsonBody(mut fields): JsonBody<Fields>,
) -> Result<Response, ApiError> {
    let mut ignored = Ignored::default();
    let served = state.served(fields.take::<String>("model")?.as_deref())?.into_owned();
    let described = Described::take(&mut fields)?;
    let generation = Generation::take(&mut fields, &state.settings)?;
    let choices = generation.choices;
    fields.refuse(
        "best_of",
        |best| *best == choices,
        "this server gives every answer that it generates: best_of must be n",
    )?;
    fields.refuse("suffix", |suffix| suffix == "", "this server continues texts and does not fill gaps")?;
    let echo = fields.take("echo")?.unwrap_or(false);
    let logprobs: Option<usize> = fields.take("logprobs")?;
    if let Some(count) = logprobs.filter(|&count| count > MOST_ALTERNATIVES) {
        let why = format!("{count} is too many; it must be from 0 to {MOST_ALTERNATIVES}");
        return Err(fields.refused("logprobs", why));
    }
    if echo && logprobs.is_some() {
        return Err(
            fields.refused("logprobs", "those of the prompt, which `echo` would show, are not computed")
        );
    }
    let add_special = fields.take("add_special_tokens")?.unwrap_or(true);
    let streaming = Streaming::take(&mut fields, &mut ignored)?;
    let prompts = fields.require::<Prompts>("prompt")?.into_vec();
    let (count, most) = (prompts.len() * choices, state.settings.max_choices);
    if count == 0 || count > most {
        let why = format!("{count} answers are asked for; it must be from 1 to {most}");
        return Err(fields.refused("prompt", why));
    }
    ignored.add(&fields);
    ignored.check(state.settings.strict)?;

    let (model, tokenizer) = (served.name, served.prompts.tokenizer.clone());
    let encoded = blocking(move || {
        prompts.into_iter().map(|prompt| prompt.encode(&served.prompts, add_special, echo)).collect()
    });
    let (prompts, echo): (Vec<Vec<u32>>, Vec<Option<String>>) =
        encoded.await.map(|encoded: Vec<_>| encoded.into_iter().unzip())?;
    let echo: Vec<String> = echo.into_iter().flatten().collect();
    let prompt_tokens = prompts.iter().map(Vec::len).sum();
    let requests = generation.requests(&prompts, MAX_TOKENS, &served.adapter, logprobs);
    let (endpoint, question) = (Endpoint::Text, tokenizer.decode(&prompts.concat(), false));
    let reply = Reply { endpoint, model, tokenizer, streaming, echo, prompt_tokens, question, described };
    Ok(ignored.named_in(reply.send(&state, &caller, requests).await?))
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
        for prompt in [json!(""), json!(["a", ""]), json!([[]])] {
            let (status, answer) = server().post(PATH, json!({"prompt": prompt})).await;
            assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!("prompt")), "{answer}");
        }
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
