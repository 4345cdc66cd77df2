//! Bodies of requests: limited before they are stored, inflated, and read with the wrong field named.

use std::error::Error;
use std::io::{self, Write};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::timed_body::SlowBody;
use crate::error::ApiError;
use crate::routes::BODY_LIMIT;

/// A JSON body.
///
/// Any content type is taken except those that a web page can send anywhere without asking, since `curl -d` sends
/// that of a form; [`super::local`] refuses that one too if it comes from a page.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if let Some(kind @ ("text/plain" | "multipart/form-data")) = content_type(&parts.headers).as_deref() {
            return Err(ApiError::unsupported_body(format!(
                "the body must be JSON, with content-type: application/json, not {kind}"
            )));
        }
        let bytes = read(&parts.headers, body, BODY_LIMIT).await?;
        parse(&bytes).map(Self)
    }
}

/// The content type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// Whether the content type is JSON, which a page of another origin cannot send without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// Reads a body of at most `limit` bytes, gzip included. A longer one is refused as soon as that is known: its
/// rest is neither read nor inflated.
///
/// # Errors
/// 413 for one that is too long, 415 for an unknown encoding, 408 for one that trickles, 400 for one that breaks off.
pub async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut sink = Sink::new(headers, limit)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: u64| announced > limit as u64) {
        return Err(ApiError::body_too_large(limit));
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_off(&error))?;
        if let Ok(data) = frame.into_data() {
            sink.write(&data)?;
        }
    }
    sink.finish()
}

/// Why a body could not be read to its end.
fn broken_off(error: &axum::Error) -> ApiError {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(slow) = error.downcast_ref::<SlowBody>() {
            return ApiError::slow_client(slow.to_string());
        }
        cause = error.source();
    }
    ApiError::bad_request(format!("the body broke off: {error}"))
}

/// Where a body's bytes go.
#[allow(clippy::large_enum_variant, reason = "one a request, on the stack")]
enum Sink {
    Plain(Limited),
    Gzip(MultiGzDecoder<Limited>),
}

impl Sink {
    fn new(headers: &HeaderMap, limit: usize) -> Result<Self, ApiError> {
        let limited = Limited { bytes: Vec::new(), limit, full: false };
        let encoding =
            headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap_or("unknown"));
        match encoding.map(|encoding| encoding.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Ok(Self::Plain(limited)),
            Some("gzip" | "x-gzip") => Ok(Self::Gzip(MultiGzDecoder::new(limited))),
            Some(other) => {
                let message = format!("content-encoding {other} is not known; gzip and identity are");
                Err(ApiError::unsupported_body(message))
            }
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<(), ApiError> {
        let (written, limited) = match self {
            Self::Plain(limited) => (limited.write_all(data), &*limited),
            Self::Gzip(decoder) => (decoder.write_all(data), decoder.get_ref()),
        };
        written.map_err(|error| limited.error(&error))
    }

    fn finish(self) -> Result<Bytes, ApiError> {
        match self {
            Self::Plain(limited) => Ok(limited.bytes.into()),
            Self::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => Ok(std::mem::take(&mut decoder.get_mut().bytes).into()),
                Err(error) => Err(decoder.get_ref().error(&error)),
            },
        }
    }
}

/// Bytes that refuse to become more than their limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Limited {
    fn error(&self, error: &io::Error) -> ApiError {
        match self.full {
            true => ApiError::body_too_large(self.limit),
            false => ApiError::bad_request(format!("the body is no valid gzip: {error}")),
        }
    }
}

impl Write for Limited {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads JSON, with or without a byte order mark.
///
/// # Errors
/// 400, with the path of the wrong field as `param` where there is one.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        ApiError::bad_request(format!("the body is not UTF-8: byte {at} begins no character"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(ApiError::bad_request("the body is empty (EOF); JSON is expected"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        wrong_field(&path, &error.into_inner().to_string())
    })?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(ApiError::bad_request(format!("the body goes on after its JSON: {error}"))),
    }
}

/// The error for what serde said about the value at `path`.
fn wrong_field(path: &str, message: &str) -> ApiError {
    // serde names a missing, unknown or repeated field in its message, and its parent by the path.
    let field = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`'))
        .map(|(name, _)| name);
    let param = match (path, field) {
        ("." | "?", field) => field.map(String::from),
        (path, Some(field)) if path.rsplit('.').next() != Some(field) => Some(format!("{path}.{field}")),
        (path, _) => Some(path.to_string()),
    };
    match (path, param) {
        (_, None) => ApiError::bad_request(message),
        (".", Some(param)) => ApiError::bad_request(message).with_param(param),
        (_, Some(param)) => ApiError::bad_request(format!("{path}: {message}")).with_param(param),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::Body;
    use axum::http::{HeaderMap, HeaderValue};
    use flate2::{Compression, write::GzEncoder};
    use serde::Deserialize;

    use super::{parse, read};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Message {
        role: String,
        content: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Chat {
        messages: Vec<Message>,
        seed: Option<u64>,
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn encoded(encoding: &str) -> HeaderMap {
        [("content-encoding".parse().unwrap(), HeaderValue::from_str(encoding).unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn the_wrong_field_is_named() {
        for (body, param, part) in [
            (r#"{"messages": [{"role": 3}]}"#, Some("messages[0].role"), "expected a string"),
            (
                r#"{"messages": [{"role": "user"}, {"content": "x"}]}"#,
                Some("messages[1].role"),
                "missing field",
            ),
            (r#"{"messages": [{"role": "u", "rôle": 1}]}"#, Some("messages[0].rôle"), "unknown field"),
            (r#"{"seed": 1, "seed": 2, "messages": []}"#, Some("seed"), "duplicate field"),
            (r#"{"messages": [], "seed": -1}"#, Some("seed"), "expected u64"),
            (r#"{"seed": 1}"#, Some("messages"), "missing field `messages`"),
            (r#"{"messages": []} {}"#, None, "goes on after"),
            (r#"{"messages": ["#, Some("messages"), "EOF"),
            ("", None, "EOF"),
            ("nonsense", None, "expected"),
        ] {
            let error = parse::<Chat>(body.as_bytes()).unwrap_err().body();
            assert_eq!(error["error"]["param"].as_str(), param, "{body}: {error}");
            assert!(error["error"]["message"].as_str().unwrap().contains(part), "{body}: {error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_other_bytes_are_refused_in_words() {
        assert!(parse::<Chat>("\u{feff}{\"messages\": []}".as_bytes()).is_ok());
        let error = parse::<Chat>(b"{\"messages\": \"\xff\"}").unwrap_err();
        assert_eq!(error.to_string(), "the body is not UTF-8: byte 14 begins no character");
    }

    #[tokio::test]
    async fn gzip_is_inflated_and_damage_is_said() {
        let packed = gzip(b"{\"messages\": []}");
        let bytes = read(&encoded("GZIP"), Body::from(packed.clone()), 100).await.unwrap();
        assert_eq!(bytes, "{\"messages\": []}");
        // A file may be several gzip files in a row.
        let twice = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&encoded("gzip"), Body::from(twice), 100).await.unwrap(), "one two");
        for damaged in [b"plain text".to_vec(), packed[..packed.len() - 5].to_vec(), packed[..12].to_vec()] {
            let error = read(&encoded("gzip"), Body::from(damaged), 100).await.unwrap_err();
            assert_eq!(error.status(), 400, "{error}");
        }
        let error = read(&encoded("br"), Body::empty(), 100).await.unwrap_err();
        assert_eq!(error.status(), 415);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_before_the_rest_of_it_is_read() {
        let exact = read(&HeaderMap::new(), Body::from(vec![b'x'; 100]), 100).await.unwrap();
        assert_eq!(exact.len(), 100);
        let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 64]));
        let error = read(&HeaderMap::new(), Body::from_stream(endless), 100).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.to_string().contains("100 bytes")), (413, true));
        let mut headers = HeaderMap::new();
        headers.insert("content-length", 101.into());
        let untouched = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        assert_eq!(read(&headers, Body::from_stream(untouched), 100).await.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn a_gzip_bomb_is_refused_without_being_inflated() {
        // 64 MiB of zeros in 64 KiB; a piece of it after that it never ends.
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 128 << 10);
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(bomb)]);
        let endless = futures_util::StreamExt::chain(pieces, futures_util::stream::pending());
        let error = read(&encoded("gzip"), Body::from_stream(endless), 1 << 20).await.unwrap_err();
        assert_eq!(error.status(), 413);
    }
}
