//! One connection: who waits for whom, and for how long.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::IntoResponse;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::ServiceExt;

use super::shutdown::{Shutdown, Stage};
use super::timed_body::TimedBody;
use crate::error::ApiError;

/// Most bytes of a request's line and headers, and of what is buffered in either direction.
const BUFFER: usize = 64 << 10;

/// How long a client may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Between requests, and before the first one.
    pub idle: Duration,
    /// From the first byte of a request to the end of its headers.
    pub header: Duration,
    /// For the body; one that arrives fast enough may take longer (see [`TimedBody`]).
    pub body: Duration,
    /// While it takes none of the answer.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(75), // longer than the 60 s for which proxies keep a connection
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
        }
    }
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for a request.
    Idle,
    /// Has a part of a request's headers.
    Header,
    /// Waits for more of a request's body.
    Body,
    /// Computes or sends an answer.
    Busy,
}

/// A connection's phase, and the wish to close it.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Mutex<(Phase, Instant)>,
    give_way: Notify,
    idle_again: Notify,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            phase: Mutex::new((Phase::Idle, Instant::now())),
            give_way: Notify::new(),
            idle_again: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the client has kept the server waiting, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let (phase, since) = *self.lock();
        (phase != Phase::Busy).then_some(since)
    }

    /// Asks the connection to close if it still waits for its client.
    pub(super) fn give_way(&self) {
        self.give_way.notify_one();
    }

    /// Enters a phase now, unless it is in it already.
    pub(super) fn enter(&self, phase: Phase) {
        let mut now = self.lock();
        if now.0 != phase {
            *now = (phase, Instant::now());
        }
    }

    /// The request's body is not waited for any more.
    pub(super) fn leave_body(&self) {
        let mut now = self.lock();
        if now.0 == Phase::Body {
            *now = (Phase::Busy, Instant::now());
        }
    }
}

/// Answers the requests of one connection until it ends, is asked to give way, or the server has drained.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) app: watch::Receiver<Router>,
    pub(super) activity: Arc<Activity>,
    pub(super) timeouts: Timeouts,
    pub(super) shutdown: Shutdown,
    /// Whether it is one of the few beyond the limit, which answers `/health` once and 503 to the rest.
    pub(super) surplus: bool,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream) {
        stream.set_nodelay(true).ok(); // events are small, and none should wait for the next
        // A client that sends nothing costs no buffers.
        tokio::select! {
            biased; // a request that has come is answered
            readable = tokio::time::timeout(self.timeouts.idle, stream.readable()) => {
                if !matches!(readable, Ok(Ok(()))) {
                    return;
                }
            }
            () = self.activity.give_way.notified() => return,
            () = self.shutdown.reached(Stage::Draining) => return,
        }
        let io = TokioIo::new(TimedStream::new(stream, self.activity.clone(), self.timeouts));
        let Self { peer, app, activity, timeouts, shutdown, surplus } = self;
        let service = service_fn(|request: Request<Incoming>| {
            let busy = Busy::begin(activity.clone());
            let router = app.borrow().clone();
            let body = |body| Body::new(TimedBody::new(body, timeouts.body, activity.clone()));
            let mut request = request.map(body);
            request.extensions_mut().insert(ConnectInfo(peer));
            async move {
                let response = match surplus && !is_health(request.uri().path()) {
                    true => ApiError::unavailable("the server has as many connections as it takes")
                        .with_code("overloaded")
                        .into_response(),
                    false => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
                };
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None) // `TimedStream` has it
            .max_buf_size(BUFFER)
            .keep_alive(!surplus)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, "connection: {error}");
                    }
                    return;
                }
                // hyper has a read under way, which began when there was no limit; polled again it gets that for
                // idle connections.
                () = activity.idle_again.notified() => {}
                () = activity.give_way.notified() => {
                    if activity.waiting_since().is_some() {
                        return;
                    }
                }
                () = shutdown.reached(Stage::Draining), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn is_health(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/")
}

/// A request under way, until its answer has been handed over whole or is dropped.
struct Busy(Arc<Activity>);

impl Busy {
    fn begin(activity: Arc<Activity>) -> Self {
        activity.enter(Phase::Busy);
        Self(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
        self.0.idle_again.notify_one();
    }
}

/// The body of an answer, which keeps its connection busy.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl HttpBody for BusyBody {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket whose reads fail where the client keeps the server waiting too long, and writes where it takes nothing.
struct TimedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    timeouts: Timeouts,
    read: Pin<Box<Sleep>>,
    /// Exists while a write waits.
    write: Option<Pin<Box<Sleep>>>,
}

impl TimedStream {
    fn new(stream: TcpStream, activity: Arc<Activity>, timeouts: Timeouts) -> Self {
        let read = Box::pin(sleep_until(Instant::now() + timeouts.header));
        Self { stream, activity, timeouts, read, write: None }
    }

    /// Ends a wait for the client to take more of the answer, if it has taken too long.
    fn timed_write<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.write = None;
            return done;
        }
        let limit = self.timeouts.write;
        let timer = self.write.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let mut now = self.activity.lock();
            if buffer.filled().len() > before && now.0 == Phase::Idle {
                *now = (Phase::Header, Instant::now());
            }
            return Poll::Ready(read);
        }
        let (phase, since) = *self.activity.lock();
        let deadline = match phase {
            Phase::Idle => since + self.timeouts.idle,
            Phase::Header => since + self.timeouts.header,
            // While an answer is computed hyper reads only to see that the client is still there.
            Phase::Body | Phase::Busy => return Poll::Pending,
        };
        if self.read.deadline() != deadline {
            self.read.as_mut().reset(deadline);
        }
        ready!(self.read.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed_write(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.timed_write(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
