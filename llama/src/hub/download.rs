//! Downloads that are resumed after an interruption and checked before they are used.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::progress::bytes_of;
use crate::error::LlamaError;

/// How long to wait for a connection. Short, because there is another source to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for an answer to begin, or for its next bytes.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a download whose connection broke is resumed.
const RESUMPTIONS: usize = 4;

/// What is known of a file before it is downloaded.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub bytes: Option<u64>,
    /// Hexadecimal.
    pub sha256: Option<String>,
}

/// Fetches files over HTTP.
#[derive(Debug)]
pub(super) struct Downloader {
    agent: Agent,
    token: Option<String>,
}

/// Why a transfer did not complete.
enum Failure {
    /// The connection ended early; the part that arrived is kept.
    Cut(LlamaError),
    /// Trying again would fail in the same way.
    Final(LlamaError),
}

impl From<LlamaError> for Failure {
    fn from(error: LlamaError) -> Self {
        Failure::Final(error)
    }
}

impl Downloader {
    /// `token` is sent to the hub and to no host that it redirects to.
    pub fn new(token: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(STALL_TIMEOUT))
            .timeout_per_read(Some(STALL_TIMEOUT))
            .http_status_as_error(false)
            // The hub answers for some files with a redirect to itself, where the token is needed too.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            // A compressed answer has neither the file's length nor its ranges.
            .accept_encoding("identity")
            .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, token }
    }

    /// The JSON at `url`.
    pub fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, LlamaError> {
        self.get(url, 0)?.body_mut().read_json().map_err(|error| failed(url, error.to_string()))
    }

    /// Downloads `url` to `target`, which exists only once it is complete and checked. Until then the bytes are in
    /// `target.part`. An interrupted download is resumed from there if there is a digest to check the result by.
    pub fn fetch(&self, url: &str, target: &Path, expected: &Expected) -> Result<(), LlamaError> {
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir).map_err(LlamaError::io(dir))?;
        }
        let part = part_of(target);
        if expected.sha256.is_none() {
            discard(&part)?;
        }
        let resumed = length(&part) > 0;
        let mut checked = self.transfer(url, &part, expected).and_then(|()| check(url, &part, expected));
        if checked.is_err() && resumed && length(&part) == 0 {
            // The part left by an earlier download was of another file; the check has removed it.
            checked = self.transfer(url, &part, expected).and_then(|()| check(url, &part, expected));
        }
        checked?;
        fs::rename(&part, target).map_err(LlamaError::io(target))
    }

    /// Completes `part`, reconnecting as long as each connection brings new bytes.
    fn transfer(&self, url: &str, part: &Path, expected: &Expected) -> Result<(), LlamaError> {
        let mut resumptions = 0;
        loop {
            let before = length(part);
            match self.transfer_once(url, part, expected) {
                Ok(()) => return Ok(()),
                Err(Failure::Cut(_)) if length(part) > before && resumptions < RESUMPTIONS => {
                    resumptions += 1;
                }
                Err(Failure::Cut(error) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    fn transfer_once(&self, url: &str, part: &Path, expected: &Expected) -> Result<(), Failure> {
        let have = length(part);
        if have > 0 && Some(have) == expected.bytes {
            return Ok(());
        }
        let mut response = self.get(url, have)?;
        // Status 206 continues at the byte asked for; any other success sends the file from its start.
        let start = if response.status() == 206 { have } else { 0 };
        if start > 0 && range_start(&response) != Some(start) {
            discard(part)?;
            return Err(Failure::Final(failed(url, "answered with another range than asked for")));
        }
        let file =
            OpenOptions::new().create(true).append(start > 0).write(true).truncate(start == 0).open(part);
        let mut file = file.map_err(LlamaError::io(part))?;

        let total =
            response.body().content_length().map(|rest| start.saturating_add(rest)).or(expected.bytes);
        if let (Some(total), Some(bytes)) = (total, expected.bytes)
            && total != bytes
        {
            discard(part)?;
            return Err(Failure::Final(failed(url, format!("has {total} bytes, {bytes} were expected"))));
        }
        let bar = bytes_of(url, start, total);
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut have = start;
        let cut = loop {
            match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(count) => {
                    file.write_all(buffer.get(..count).unwrap_or_default()).map_err(LlamaError::io(part))?;
                    have += count as u64;
                    bar.set_position(have);
                }
                Err(error) => break Some(error.to_string()),
            }
            if total.is_some_and(|total| have > total) {
                // Stop here, so that an endless answer cannot fill the disk; the check of the length reports it.
                break None;
            }
        };
        bar.finish_and_clear();
        file.sync_all().map_err(LlamaError::io(part))?;
        match (cut, total) {
            (None, Some(total)) if have >= total => Ok(()),
            (None, None) => Ok(()),
            (reason, total) => Err(Failure::Cut(failed(
                url,
                format!(
                    "the connection was cut after {have} of {} bytes ({})",
                    total.map_or("unknown".into(), |total| total.to_string()),
                    reason.as_deref().unwrap_or("it just ended"),
                ),
            ))),
        }
    }

    /// Asks for `url` from byte `start` on; any status but success is an error.
    fn get(&self, url: &str, start: u64) -> Result<Response<Body>, LlamaError> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| failed(url, error.to_string()))?;
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            // The server has no bytes from this position on, so the part is of another file.
            416 if start > 0 => self.get(url, 0),
            status @ (401 | 403) if self.token.is_none() => Err(failed(
                url,
                format!("HTTP {status}: not public; set HF_TOKEN to a token that has access"),
            )),
            status @ (401 | 403) => {
                Err(failed(url, format!("HTTP {status}: the token in HF_TOKEN has no access")))
            }
            404 => Err(failed(url, "HTTP 404: there is no such model, revision or file")),
            status => Err(failed(url, format!("HTTP {status}"))),
        }
    }
}

fn failed(url: &str, reason: impl Into<String>) -> LlamaError {
    LlamaError::Download { url: url.into(), reason: reason.into() }
}

/// Checks a downloaded file against what was expected, and removes it if it differs.
fn check(url: &str, part: &Path, expected: &Expected) -> Result<(), LlamaError> {
    let bytes = length(part);
    let wrong = if let Some(wanted) = expected.bytes.filter(|&wanted| wanted != bytes) {
        Some(format!("{bytes} bytes came, {wanted} were expected"))
    } else if let Some(wanted) = &expected.sha256 {
        let found =
            sha256(&mut File::open(part).map_err(LlamaError::io(part))?).map_err(LlamaError::io(part))?;
        (found != *wanted).then(|| format!("its SHA-256 is {found}, expected {wanted}"))
    } else {
        None
    };
    match wrong {
        None => Ok(()),
        Some(reason) => {
            discard(part)?;
            Err(failed(url, reason))
        }
    }
}

/// The SHA-256 of everything that `reader` gives, hexadecimal.
pub(super) fn sha256(reader: &mut impl Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// The START of an answer's `Content-Range: bytes START-END/TOTAL`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn part_of(target: &Path) -> PathBuf {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// The length of a file; 0 if there is none.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn discard(path: &Path) -> Result<(), LlamaError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LlamaError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_server::{Reply, Server};
    use super::*;

    const TEXT: &str = "the weights of a model";

    fn expected() -> Expected {
        let digest = sha256(&mut TEXT.as_bytes()).unwrap();
        Expected { bytes: Some(TEXT.len() as u64), sha256: Some(digest) }
    }

    /// Fetches from a server into `dir/model`, with `part` left by an earlier download.
    fn fetch(server: &Server, dir: &Path, part: Option<&str>) -> Result<String, String> {
        let target = dir.join("model");
        if let Some(part) = part {
            fs::write(part_of(&target), part).unwrap();
        }
        let url = format!("{}/model", server.url());
        let result = Downloader::new(None).fetch(&url, &target, &expected());
        assert_eq!(target.exists(), result.is_ok(), "the file is there if and only if it is right");
        match result {
            Ok(()) => {
                assert!(!part_of(&target).exists());
                Ok(fs::read_to_string(target).unwrap())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_file_comes_whole() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| {
            assert_eq!(request.header("accept-encoding"), Some("identity"));
            Reply::ok(TEXT)
        });
        assert_eq!(fetch(&server, dir.path(), None), Ok(TEXT.into()));
    }

    #[test]
    fn an_interrupted_download_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| Reply::range_of(TEXT, request));
        assert_eq!(fetch(&server, dir.path(), Some(&TEXT[..7])), Ok(TEXT.into()));
        assert_eq!(server.ranges(), [Some(7)]);
    }

    #[test]
    fn a_server_without_ranges_sends_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|_| Reply::ok(TEXT));
        assert_eq!(fetch(&server, dir.path(), Some(&TEXT[..7])), Ok(TEXT.into()));
    }

    #[test]
    fn a_remainder_that_does_not_fit_is_dropped_and_the_file_comes_anew() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| Reply::range_of(TEXT, request));
        assert_eq!(fetch(&server, dir.path(), Some("another")), Ok(TEXT.into()));
        assert_eq!(server.ranges(), [Some(7), None]);
        // One that is longer than the file: the server has no such range.
        let server = Server::start(|request| Reply::range_of(TEXT, request));
        fs::remove_file(dir.path().join("model")).unwrap();
        assert_eq!(fetch(&server, dir.path(), Some(&"long".repeat(99))), Ok(TEXT.into()));
    }

    #[test]
    fn a_cut_connection_is_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| Reply::range_of(TEXT, request).cut_after(9));
        assert_eq!(fetch(&server, dir.path(), None), Ok(TEXT.into()));
        assert_eq!(server.ranges(), [None, Some(9), Some(18)]);
    }

    #[test]
    fn a_connection_that_brings_nothing_more_is_an_error_that_keeps_what_came() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| {
            Reply::range_of(TEXT, request).cut_after(if request.range().is_none() { 9 } else { 0 })
        });
        let error = fetch(&server, dir.path(), None).unwrap_err();
        assert!(error.contains("the connection was cut after 9 of 22 bytes"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("model.part")).unwrap(), TEXT[..9]);
    }

    #[test]
    fn a_wrong_digest_or_length_leaves_nothing() {
        for text in ["THE WEIGHTS OF A MODEL", "short", "the weights of a model and much more than that"] {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::start(move |_| Reply::ok(text));
            let error = fetch(&server, dir.path(), None).unwrap_err();
            assert!(error.contains("expected"), "{error}");
            assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
        }
    }

    #[test]
    fn a_redirect_is_followed_with_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|request| match request.path.as_str() {
            "/model" => Reply::status(302).header("Location: /elsewhere"),
            _ => Reply::range_of(TEXT, request),
        });
        assert_eq!(fetch(&server, dir.path(), Some(&TEXT[..7])), Ok(TEXT.into()));
        assert_eq!(server.ranges(), [Some(7), Some(7)]);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for (status, reason) in [(404, "no such model"), (401, "set HF_TOKEN"), (500, "HTTP 500")] {
            let dir = tempfile::tempdir().unwrap();
            let server = Server::start(move |_| Reply::status(status));
            let error = fetch(&server, dir.path(), None).unwrap_err();
            assert!(error.contains(reason) && error.contains("/model: "), "{error}");
        }
    }

    #[test]
    fn the_token_goes_with_every_request() {
        let server = Server::start(|request| match request.header("authorization") {
            Some("Bearer secret") => Reply::ok("[1]"),
            _ => Reply::status(401),
        });
        let json: Vec<u8> = Downloader::new(Some("secret".into())).json(&server.url()).unwrap();
        assert_eq!(json, [1]);
        let error = Downloader::new(Some("wrong".into())).json::<Vec<u8>>(&server.url()).unwrap_err();
        assert!(error.to_string().contains("the token in HF_TOKEN has no access"));
    }
}
