//! Whether an answer is streamed.

use super::{Fields, Ignored};
use crate::error::ApiError;

/// How an answer is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streaming {
    /// As events while it is generated, not at once.
    pub stream: bool,
    /// With an event that counts its tokens.
    pub include_usage: bool,
}

impl Streaming {
    /// Reads `stream` and `stream_options`.
    ///
    /// # Errors
    /// If one is not what OpenAI takes.
    pub fn take(fields: &mut Fields, ignored: &mut Ignored) -> Result<Self, ApiError> {
        let stream = fields.take("stream")?.unwrap_or(false);
        let Some(mut options) = fields.nested("stream_options")? else {
            return Ok(Self { stream, include_usage: false });
        };
        if !stream {
            return Err(
                fields.refused("stream_options", "only a request with `stream` true has options of it")
            );
        }
        let include_usage = options.take("include_usage")?.unwrap_or(false);
        options.refuse(
            "include_obfuscation",
            |value| value == false,
            "events are not padded here; leave it out, or give false",
        )?;
        ignored.add(&options);
        Ok(Self { stream, include_usage })
    }
}
