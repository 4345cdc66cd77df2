//! `POST /prod/predict`: continues a raw prompt, in the format of SageMaker endpoints with Hugging Face's container.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use llama::{FinishReason, Request, Sampling, Tokenizer};
use serde_json::{Value, json};

use super::blocking;
use crate::error::ApiError;
use crate::http::auth::{Client, Require};
use crate::http::body::JsonBody;
use crate::openai::{Asked, Described, Fields, Ignored, Recording, seed, stop_strings};
use crate::state::{Completion, Shared};

/// Tokens generated where the request does not say.
const MAX_NEW_TOKENS: usize = 256;

/// Hugging Face's parameters of generation.
#[derive(Debug)]
struct Parameters {
    max_new_tokens: Option<usize>,
    stop: Vec<String>,
    sampling: Sampling,
    /// The prompt's text before the answer's.
    return_full_text: bool,
    /// The answer's tokens and why it ended.
    details: bool,
    /// The most tokens of the prompt, of which the last are kept.
    truncate: Option<usize>,
    /// The adapter to answer with.
    adapter: Option<String>,
}

impl Parameters {
    fn take(fields: &mut Fields, most: Option<usize>) -> Result<Self, ApiError> {
        refuse_others(fields)?;
        let max_new_tokens: Option<usize> = fields.take("max_new_tokens")?;
        if let (Some(asked), Some(most)) = (max_new_tokens, most)
            && asked > most
        {
            let why = format!("{asked} is more than this server gives at once, which is {most}");
            return Err(fields.refused("max_new_tokens", why));
        }
        Ok(Self {
            max_new_tokens: max_new_tokens.or(most.map(|most| most.min(MAX_NEW_TOKENS))),
            stop: stops(fields)?,
            sampling: sampling(fields)?,
            return_full_text: fields.take("return_full_text")?.unwrap_or(false),
            details: fields.take("details")?.unwrap_or(false),
            truncate: fields.take("truncate")?,
            adapter: fields.take("adapter_id")?,
        })
    }
}

/// Refuses what would change the answer and is not done here.
fn refuse_others(fields: &mut Fields) -> Result<(), ApiError> {
    let one = "this server gives one answer per request";
    for name in ["best_of", "num_return_sequences", "num_beams"] {
        fields.refuse(name, |value| *value == 1, one)?;
    }
    fields.refuse(
        "typical_p",
        |value| value.as_f64() == Some(1.0),
        "it is not supported; use top_p or min_p",
    )?;
    fields.refuse("watermark", |value| value == false, "answers are not watermarked")?;
    fields.refuse("decoder_input_details", |value| value == false, "prompts are not scored")?;
    fields.refuse("top_n_tokens", |value| *value == 0, "use /v1/completions with logprobs")?;
    fields.refuse("grammar", |_| false, "answers in a given form are not supported")?;
    fields.refuse("max_length", |_| false, "use max_new_tokens, which does not count the prompt")?;
    fields.refuse("max_time", |_| false, "it is not supported; use max_new_tokens")?;
    fields.refuse("return_text", |value| value == true, "answers are text")?;
    fields.refuse("return_tensors", |value| value == false, "answers are text")
}

/// `stop`, or `stop_sequences` as it was called first.
fn stops(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let older: Vec<String> = fields.take("stop_sequences")?.unwrap_or_default();
    let newer = stop_strings(fields)?;
    if !older.is_empty() && !newer.is_empty() {
        return Err(fields.refused("stop_sequences", "`stop` is given too, which is its newer name"));
    }
    if older.iter().any(String::is_empty) {
        return Err(fields.refused("stop_sequences", "it has an empty string"));
    }
    Ok(if newer.is_empty() { older } else { newer })
}

/// Greedy, unless `do_sample` or a temperature asks for sampling.
fn sampling(fields: &mut Fields) -> Result<Sampling, ApiError> {
    let temperature = match (fields.take("do_sample")?, fields.take::<f32>("temperature")?) {
        (Some(false), _) | (None, None) => 0.0,
        (_, Some(temperature)) => temperature,
        (Some(true), None) => 1.0,
    };
    let default = Sampling::default();
    Ok(Sampling {
        temperature,
        top_k: fields.take("top_k")?.unwrap_or(default.top_k),
        top_p: fields.take("top_p")?.unwrap_or(default.top_p),
        min_p: fields.take("min_p")?.unwrap_or(default.min_p),
        repetition_penalty: fields.take("repetition_penalty")?.unwrap_or(default.repetition_penalty),
        frequency_penalty: fields.take("frequency_penalty")?.unwrap_or(default.frequency_penalty),
        presence_penalty: fields.take("presence_penalty")?.unwrap_or(default.presence_penalty),
        seed: seed(fields)?,
        ..default
    })
}

/// Continues the prompt.
pub async fn predict(
    State(state): State<Shared>,
    caller: Require<Client>,
    JsonBody(mut fields): JsonBody<Fields>,
) -> Result<Response, ApiError> {
    let inputs: String = fields.require("inputs")?;
    fields.refuse("stream", |value| value == false, "this endpoint answers at once; use /v1/completions")?;
    let mut ignored = Ignored::default();
    if let Some(mut options) = fields.nested("options")? {
        for name in ["use_cache", "wait_for_model"] {
            options.take::<bool>(name)?; // of Hugging Face's hosts: nothing here depends on it
        }
        ignored.add(&options);
    }
    let mut nested = fields.nested("parameters")?.unwrap_or_default();
    let parameters = Parameters::take(&mut nested, state.settings.max_tokens)?;
    ignored.add(&nested);
    ignored.add(&fields);
    ignored.check(state.settings.strict)?;

    let served = state.served(parameters.adapter.as_deref())?.into_owned();
    let tokenizer = served.prompts.tokenizer.clone();
    let text = parameters.return_full_text.then(|| inputs.clone());
    let (question, model) = (inputs.clone(), served.name.clone());
    let mut prompt = blocking(move || served.prompts.raw(&inputs, true)).await?;
    if let Some(kept) = parameters.truncate.filter(|&kept| kept > 0) {
        prompt.drain(..prompt.len().saturating_sub(kept));
    }
    let (seed, max_tokens) = (parameters.sampling.seed, parameters.max_new_tokens.unwrap_or(MAX_NEW_TOKENS));
    let prompt_tokens = prompt.len();
    let answer = state.submit(Request {
        stop: parameters.stop,
        sampling: parameters.sampling,
        adapter: served.adapter,
        logprobs: parameters.details.then_some(0),
        ..Request::new(prompt, max_tokens)
    })?;
    let (endpoint, described) = ("/prod/predict", Described::default());
    let mut recording =
        Recording::begin(&state, &caller, Asked { endpoint, model, question, prompt_tokens, described })
            .await?;
    let completion = match answer.complete().await {
        Ok(completion) => completion,
        Err(error) => {
            let error = ApiError::from(error);
            recording.fail(&error).await;
            return Err(error);
        }
    };
    completion.tokens.iter().for_each(|token| recording.take(0, token));
    recording.finish().await?;
    let mut result = json!({"generated_text": text.unwrap_or_default() + &completion.text});
    if parameters.details {
        result["details"] = details(&completion, seed, &tokenizer);
    }
    Ok(ignored.named_in(Json(json!({"result": [result]})).into_response()))
}

/// The answer's tokens, in the form of text-generation-inference.
fn details(completion: &Completion, seed: u64, tokenizer: &Tokenizer) -> Value {
    let is_end = |id: u32| tokenizer.eos().contains(&id);
    let finish = match (completion.finish, completion.tokens.last()) {
        (FinishReason::Length, _) => "length",
        (FinishReason::Stop, Some(last)) if is_end(last.id) => "eos_token",
        (FinishReason::Stop, _) => "stop_sequence",
    };
    let token = |token: &llama::Token| {
        json!({
            "id": token.id,
            "text": String::from_utf8_lossy(&tokenizer.token_bytes(token.id)),
            "logprob": token.logprobs.as_ref().map(|logprobs| logprobs.chosen),
            "special": tokenizer.is_control(token.id),
        })
    };
    json!({
        "finish_reason": finish,
        "generated_tokens": completion.tokens.len(),
        "seed": seed,
        "prefill": [],
        "tokens": completion.tokens.iter().map(token).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::server;

    #[tokio::test]
    async fn only_the_new_text_is_returned() {
        let (status, body) = server().post("/prod/predict", json!({"inputs": "Say this.\n"})).await;
        assert_eq!(status, 200);
        assert_eq!(body, json!({"result": [{"generated_text": "Say this."}]}));
    }

    #[tokio::test]
    async fn parameters_apply() {
        let text = async |parameters| {
            let (status, body) = server()
                .post("/prod/predict", json!({"inputs": "Say this.\n", "parameters": parameters}))
                .await;
            assert_eq!(status, 200, "{body}");
            body["result"][0]["generated_text"].as_str().unwrap().to_string()
        };
        assert_eq!(text(json!({"max_new_tokens": 3})).await, "Say");
        assert_eq!(text(json!({"stop": ["th"]})).await, "Say ");
        assert_eq!(text(json!({"stop": "."})).await, "Say this");
        let warm = json!({"do_sample": true, "temperature": 0.01, "top_p": 0.9, "top_k": 5,
            "repetition_penalty": 1.0, "seed": 7, "max_new_tokens": null});
        assert_eq!(text(warm).await, "Say this.");
    }

    #[tokio::test]
    async fn the_prompt_and_the_tokens_where_asked_for() {
        let ask = async |parameters| {
            let body = json!({"inputs": "Say this.\n", "parameters": parameters});
            server().post("/prod/predict", body).await.1["result"][0].clone()
        };
        assert_eq!(
            ask(json!({"return_full_text": true})).await,
            json!({"generated_text": "Say this.\nSay this."})
        );
        let shown = ask(json!({"details": true, "max_new_tokens": 2, "seed": 7})).await;
        let details = &shown["details"];
        assert_eq!((&details["finish_reason"], &details["generated_tokens"]), (&json!("length"), &json!(2)));
        assert_eq!((&details["seed"], &details["tokens"][1]["text"]), (&json!(7), &json!("a")));
        assert!(details["tokens"][1]["logprob"].as_f64().unwrap() < 0.0);
        assert_eq!(ask(json!({"details": true})).await["details"]["finish_reason"], "eos_token");
        let stopped = ask(json!({"details": true, "stop_sequences": ["th"]})).await;
        assert_eq!(
            (&stopped["generated_text"], &stopped["details"]["finish_reason"]),
            (&json!("Say "), &json!("stop_sequence"))
        );
        // The last 6 tokens of the prompt are "this.\n".
        assert_eq!(ask(json!({"truncate": 6})).await["generated_text"], "this.");
    }

    #[tokio::test]
    async fn parameters_that_are_not_done_are_refused_and_unknown_ones_named() {
        for (name, value) in [
            ("best_of", json!(2)),
            ("typical_p", json!(0.5)),
            ("watermark", json!(true)),
            ("top_n_tokens", json!(3)),
            ("decoder_input_details", json!(true)),
            ("grammar", json!({"type": "regex", "value": "a"})),
            ("max_length", json!(9)),
            ("num_beams", json!(4)),
        ] {
            let body = json!({"inputs": "x", "parameters": {name: value}});
            let (status, answer) = server().post("/prod/predict", body).await;
            assert_eq!(status, 400, "{name}");
            assert_eq!(answer["error"]["param"], format!("parameters.{name}"));
        }
        let (status, answer) = server().post("/prod/predict", json!({"inputs": "x", "stream": true})).await;
        assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!("stream")));
        let body = json!({"inputs": "x\n", "parameters": {"best_of": 1, "penalty_alpha": 0.6}, "id": 3});
        let response = server().send("/prod/predict", body.to_string()).await;
        assert_eq!(response.headers()["x-hearth-ignored"], "parameters.penalty_alpha, id");
    }

    #[tokio::test]
    async fn prompts_that_cannot_be_answered_say_why() {
        let error = async |body| {
            let (status, body) = server().post("/prod/predict", body).await;
            assert_eq!(status, 400);
            (body["error"]["message"].as_str().unwrap().to_string(), body["error"]["param"].clone())
        };
        assert_eq!(error(json!({"inputs": ""})).await.0, "the prompt is empty");
        let (long, _) = error(json!({"inputs": "x".repeat(1100)})).await;
        assert_eq!(long, "the prompt has 1100 tokens and leaves no room for an answer in a context of 1024");
        let hot = json!({"inputs": "x", "parameters": {"temperature": -1}});
        assert_eq!(
            error(hot).await,
            ("temperature is -1; it must be 0 or more".into(), json!("temperature"))
        );
        let none = json!({"inputs": "x", "parameters": {"max_new_tokens": 0}});
        assert_eq!(error(none).await.0, "max_tokens is 0; it must be 1 or more");
        let negative = json!({"inputs": "x", "parameters": {"max_new_tokens": -3}});
        assert!(error(negative).await.0.contains("parameters.max_new_tokens"));
        let stop = json!({"inputs": "x", "parameters": {"stop": [""]}});
        assert_eq!(error(stop).await, ("stop has an empty string".into(), json!("stop")));
    }

    #[tokio::test]
    async fn a_model_that_fails_is_an_error_of_ours() {
        let (status, body) = server().post("/prod/predict", json!({"inputs": "\u{7}\n"})).await;
        assert_eq!(status, 500);
        assert_eq!(body["error"]["type"], "server_error");
        let (status, _) = server().post("/prod/predict", json!({"inputs": "fine\n"})).await;
        assert_eq!(status, 200);
    }
}
