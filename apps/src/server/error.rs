//! Error responses.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use llama::{GenerateError, SubmitError};
use serde_json::json;

use crate::routes::BODY_LIMIT;
use crate::store::StoreError;

/// An error in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    message: String,
    param: Option<Cow<'static, str>>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// The request is wrong; the client must change it.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The server failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The server failed at `what`; the reason may name files, and goes to the log alone.
    pub fn failed(what: &str, reason: impl std::fmt::Display) -> Self {
        tracing::error!("{what} failed: {reason}");
        Self::internal(format!("{what} failed; the server's log says why"))
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message).with_code("not_found")
    }

    /// What is asked for does not fit to how things stand.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// Too many wait already.
    pub fn overloaded(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("overloaded");
        error.with_retry_after(Duration::from_secs(1))
    }

    /// There is no such path.
    pub fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}")).with_code("not_found")
    }

    /// There is no such model.
    pub fn model_not_found(name: &str, served: &[&str]) -> Self {
        let message = format!("the model `{name}` does not exist; this server has `{}`", served.join("`, `"));
        Self::new(StatusCode::NOT_FOUND, message).with_param("model").with_code("model_not_found")
    }

    /// The path exists, but not for this method.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let message = format!("{path} does not take {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message).with_code("method_not_allowed")
    }

    /// The server was started without what this request needs.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The text is longer than the model reads.
    pub fn too_long(message: impl Into<String>) -> Self {
        Self::bad_request(message).with_code("context_length_exceeded")
    }

    /// The request has no key that is valid.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key")
    }

    /// The caller is known but may not do this, or the request comes from a page that may not send it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// The client took too long to send its request.
    pub fn slow_client(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, message).with_code("slow_request")
    }

    /// The server took too long to answer.
    pub fn timed_out(limit: Duration) -> Self {
        let message = format!("the answer was not ready within {} s", limit.as_secs_f32());
        Self::new(StatusCode::GATEWAY_TIMEOUT, message).with_code("timeout")
    }

    /// The body is longer than `limit` bytes, after decompression if it is compressed.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit} bytes"))
            .with_code("body_too_large")
    }

    /// The body is of a type or encoding that the route does not take.
    pub fn unsupported_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).with_code("unsupported_body")
    }

    /// The caller has used up what it may use in a minute.
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("rate_limit_exceeded");
        Self { retry_after: Some(retry_after), ..error }
    }

    /// The status of the answer.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds the name of the wrong field.
    pub fn with_param(self, param: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// Adds a code for programs.
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Says when to try again; of use with 429 and 503.
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The error as JSON, for an event stream that has begun.
    pub fn body(&self) -> serde_json::Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::FORBIDDEN => "permission_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), "{}", self.message);
        }
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        let wait = self.retry_after.map(|wait| (wait.as_secs_f64().ceil() as u64).max(1));
        match (wait, self.status) {
            (Some(seconds), _) => headers.insert(header::RETRY_AFTER, seconds.into()),
            (None, StatusCode::SERVICE_UNAVAILABLE) => headers.insert(header::RETRY_AFTER, 1u64.into()),
            (None, StatusCode::UNAUTHORIZED) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hearth\""))
            }
            _ => None,
        };
        response
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            // Before anything is computed, only a prompt in tokens can have one that does not exist.
            SubmitError::Invalid(error @ GenerateError::Engine(EngineError::Token { .. })) => {
                Self::bad_request(error.to_string()).with_param("prompt")
            }
            SubmitError::Invalid(error) => error.into(),
            error @ SubmitError::Overloaded { .. } => Self::overloaded(error.to_string()),
            error => Self::internal(error.to_string()),
        }
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        let message = error.to_string();
        match error {
            GenerateError::PromptTooLong { .. } => Self::too_long(message),
            GenerateError::NoTokens => Self::bad_request(message).with_param("max_tokens"),
            GenerateError::Sampling(error) => Self::bad_request(message).with_param(error.parameter),
            GenerateError::BiasedToken { .. } => Self::bad_request(message).with_param("logit_bias"),
            GenerateError::EmptyPrompt => Self::bad_request(message),
            _ => Self::internal(message),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        // The rejection's own status for a wrong type is 422; OpenAI's is 400.
        Self::bad_request(rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::body_too_large(BODY_LIMIT),
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound { .. } => Self::missing(message),
            StoreError::Invalid { field, .. } => Self::bad_request(message).with_param(field),
            StoreError::Transition { .. } => Self::conflict(message),
            _ => Self::failed("the store", message),
        }
    }
}
