//! `POST /prod/predict`: continues a raw prompt, in the format of SageMaker endpoints with Hugging Face's container.

use axum::Json;
use axum::extract::State;
use llama::{Request, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters::{OneOrMany, seed, stop_strings};
use super::{Body, blocking};
use crate::error::ApiError;
use crate::state::Shared;

/// Tokens generated where the request does not say.
const MAX_NEW_TOKENS: usize = 256;

/// The body.
#[derive(Debug, Deserialize)]
pub struct PredictRequest {
    inputs: String,
    #[serde(default)]
    parameters: Option<PredictParameters>,
}

/// Hugging Face's names for the parameters of generation.
#[derive(Debug, Default, Deserialize)]
struct PredictParameters {
    max_new_tokens: Option<usize>,
    do_sample: Option<bool>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    repetition_penalty: Option<f32>,
    stop: Option<OneOrMany>,
    seed: Option<i64>,
}

impl PredictParameters {
    /// Greedy, unless `do_sample` or a temperature asks for sampling.
    fn sampling(&self) -> Sampling {
        let temperature = match (self.do_sample, self.temperature) {
            (Some(false), _) | (None, None) => 0.0,
            (_, Some(temperature)) => temperature,
            (Some(true), None) => 1.0,
        };
        let default = Sampling::default();
        Sampling {
            temperature,
            top_k: self.top_k.unwrap_or(default.top_k),
            top_p: self.top_p.unwrap_or(default.top_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
            seed: seed(self.seed),
            ..default
        }
    }
}

/// Continues the prompt.
pub async fn predict(
    State(state): State<Shared>,
    Body(body): Body<PredictRequest>,
) -> Result<Json<Value>, ApiError> {
    let parameters = body.parameters.unwrap_or_default();
    let sampling = parameters.sampling();
    let stop = stop_strings(parameters.stop)?;
    let prompts = state.prompts.clone();
    let prompt = blocking(move || prompts.raw(&body.inputs)).await?;
    let max_tokens = parameters.max_new_tokens.unwrap_or(MAX_NEW_TOKENS);
    let answer = state.submit(Request { stop, sampling, ..Request::new(prompt, max_tokens) })?;
    let completion = answer.complete().await?;
    Ok(Json(json!({"result": [{"generated_text": completion.text}]})))
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
