//! One line in the log for each request, written when its answer has ended.

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use clap::ValueEnum;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::headers::RequestId;
use super::metrics::Metrics;

/// Status in the log of a request whose client left before there was an answer, as nginx writes it.
const CLIENT_LEFT: u16 = 499;

/// How the log is written (`--log-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The layer that writes the log to standard error.
    pub fn layer<S>(self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
        match self {
            Self::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
            Self::Json => layer.event_format(super::json_lines::JsonLines).boxed(),
        }
    }
}

/// What later layers add to a request's line, as an extension of the request.
#[derive(Clone, Default)]
pub struct Record(Arc<OnceLock<String>>);

impl Record {
    /// Says who called.
    pub fn set_caller(&self, name: &str) {
        self.0.set(name.to_string()).ok(); // a route that asks twice gets the same caller
    }
}

/// Counts each request and logs it when its answer has been sent, or dropped because the client left.
pub(super) async fn requests(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let record = Record::default();
    request.extensions_mut().insert(record.clone());
    let id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_string());
    // The pattern, not the path: as many as there are routes, and without ids.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let mut ending = Ending {
        id,
        method: request.method().clone(),
        route: route.to_string(),
        path: request.uri().path().to_string(), // without the query, which may hold what a customer typed
        begun: Instant::now(),
        status: CLIENT_LEFT,
        first_byte: None,
        bytes: 0,
        whole: false,
        record,
        metrics,
    };
    ending.metrics.requests_in_flight.inc();
    let response = next.run(request).await;
    ending.status = response.status().as_u16();
    ending.first_byte = Some(ending.begun.elapsed());
    response.map(|body| {
        ending.whole = body.is_end_stream();
        Body::new(LoggedBody { body, ending })
    })
}

/// A request's line, written on drop.
struct Ending {
    id: String,
    method: Method,
    route: String,
    path: String,
    begun: Instant,
    status: u16,
    /// Time until the answer began.
    first_byte: Option<Duration>,
    bytes: u64,
    /// Whether the answer was sent to its end.
    whole: bool,
    record: Record,
    metrics: Arc<Metrics>,
}

/// Why a request of this status was not served, in the words of the metrics.
fn refused(status: u16) -> Option<&'static str> {
    match status {
        401 | 403 => Some("key"),
        413 => Some("too_large"),
        429 => Some("overloaded"),
        503 => Some("unavailable"),
        _ => None,
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let elapsed = self.begun.elapsed();
        self.metrics.requests_in_flight.dec();
        if let Some(reason) = refused(self.status) {
            self.metrics.count_refused(reason);
        }
        self.metrics.count_request(&self.route, &self.method, self.status, elapsed);
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        let caller = self.record.0.get().map_or("-", String::as_str);
        let first_byte_ms = milliseconds(self.first_byte.unwrap_or(elapsed));
        // `tracing` takes a level that is a constant only.
        macro_rules! line {
            ($log:ident) => {
                tracing::$log!(
                    id = self.id,
                    method = self.method.as_str(),
                    route = self.route,
                    path = self.path,
                    status = self.status,
                    ms = milliseconds(elapsed),
                    first_byte_ms,
                    bytes = self.bytes,
                    caller,
                    cut = !self.whole,
                    "request"
                )
            };
        }
        // Probes and scrapers come every few seconds.
        match self.route.starts_with("/health") || self.route == "/metrics" {
            true => line!(debug),
            false => line!(info),
        }
    }
}

/// A body that counts its bytes, and whose end is that of the request.
struct LoggedBody {
    body: Body,
    ending: Ending,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.ending.whole = true,
            Some(Ok(frame)) => {
                self.ending.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                self.ending.whole = self.body.is_end_stream();
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::body::to_bytes;
    use serde_json::Value;

    use super::super::testing::{edge, get, routes};

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// The lines of requests so far.
        fn requests(&self) -> Vec<Value> {
            let bytes = self.0.lock().unwrap().clone();
            let lines = String::from_utf8(bytes).unwrap();
            let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.filter(|line: &Value| line["message"] == "request").collect()
        }
    }

    #[tokio::test]
    async fn a_request_is_one_line_at_its_end_with_its_caller_and_bytes() {
        let app = edge(&["agent-key"]).wrap(routes());
        // While there is one subscriber, tracing asks that of the thread that comes by an event first whether anybody
        // wants it, and keeps the answer. Tests of other threads have none: a second one makes it ask each time.
        drop(get(&app, "/three/events", &[]).await);
        let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .event_format(crate::http::json_lines::JsonLines)
            .with_writer(move || writer.clone())
            .finish();
        let _log = tracing::subscriber::set_default(log);

        let headers = [("x-api-key", "agent-key"), ("x-request-id", "abc")];
        let response = get(&app, "/three/events?question=secret", &headers).await;
        assert!(lines.requests().is_empty(), "the stream has not ended");
        assert_eq!(to_bytes(response.into_body(), 1000).await.unwrap().len(), 24);
        let line = lines.requests().remove(0);
        assert_eq!(
            (&line["id"], &line["route"], &line["status"], &line["bytes"], &line["caller"], &line["cut"]),
            (
                &"abc".into(),
                &"/{name}/events".into(),
                &200.into(),
                &24.into(),
                &"agent-key".into(),
                &false.into()
            )
        );
        assert!(!line.to_string().contains("secret"), "{line}");

        // A client that leaves in the middle.
        drop(get(&app, "/three/events", &headers).await);
        let line = lines.requests().remove(1);
        assert_eq!((&line["cut"], &line["bytes"]), (&true.into(), &0.into()));

        // One that leaves before the answer begins.
        let waiting = get(&app, "/never", &headers);
        assert!(futures_util::FutureExt::now_or_never(waiting).is_none());
        assert_eq!(lines.requests()[2]["status"], 499);
    }
}
