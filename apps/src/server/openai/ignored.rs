//! Fields of a request that nobody knows.

use axum::http::HeaderValue;
use axum::response::Response;

use super::Fields;
use crate::error::ApiError;

/// The response's header that names them.
pub const HEADER: &str = "x-hearth-ignored";
/// Longest value of the header, in bytes.
const LONGEST: usize = 1024;

/// The paths of fields that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored(Vec<String>);

impl Ignored {
    /// What is left of an object whose known fields were read.
    pub fn add(&mut self, fields: &Fields) {
        self.0.extend(fields.unread());
    }

    /// Writes them to the log.
    ///
    /// # Errors
    /// Names them, if there are any and the server is `strict`.
    pub fn check(&self, strict: bool) -> Result<(), ApiError> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let names = self.0.join(", ");
        if strict {
            let message = format!("unknown fields, which this server refuses (--strict-requests): {names}");
            return Err(ApiError::bad_request(message).with_param(first.clone()));
        }
        tracing::info!("ignored unknown fields: {}", names.escape_debug());
        Ok(())
    }

    /// The response with a header that names them.
    pub fn named_in(&self, mut response: Response) -> Response {
        let names: String = self.0.join(", ").escape_default().take(LONGEST).collect();
        if let Some(value) = HeaderValue::from_str(&names).ok().filter(|_| !names.is_empty()) {
            response.headers_mut().insert(HEADER, value);
        }
        response
    }
}
