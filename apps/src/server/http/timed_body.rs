//! A request's body that may not trickle.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Activity, Phase};

/// Bytes for which a body gets one more second, so that long ones may take longer and trickling ones not.
const BYTES_PER_SECOND: u64 = 16 << 10;

/// The client sent its body too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time: {received} bytes in {seconds:.1} s")]
pub struct SlowBody {
    received: u64,
    seconds: f32,
}

/// A body that fails with [`SlowBody`] if no byte comes for `limit`, or if it takes longer than `limit` and a
/// second for every 16 KiB. Time runs while somebody reads.
pub struct TimedBody {
    body: Incoming,
    limit: Duration,
    activity: Arc<Activity>,
    received: u64,
    /// When reading began, and when the last bytes came.
    times: Option<(Instant, Instant)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    pub(super) fn new(body: Incoming, limit: Duration, activity: Arc<Activity>) -> Self {
        Self { body, limit, activity, received: 0, times: None, timer: None }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let now = Instant::now();
        let (begun, mut last) = *self.times.get_or_insert((now, now));
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.activity.enter(Phase::Busy);
                if let Some(Ok(frame)) = &frame {
                    self.received += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                last = now;
                self.times = Some((begun, last));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                self.activity.enter(Phase::Body);
                let more = Duration::from_secs(self.received / BYTES_PER_SECOND);
                let deadline = (last + self.limit).min(begun + self.limit + more);
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.activity.enter(Phase::Busy);
                let slow = SlowBody { received: self.received, seconds: begun.elapsed().as_secs_f32() };
                Poll::Ready(Some(Err(slow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    /// Whoever read it has given up on it, and answers.
    fn drop(&mut self) {
        self.activity.leave_body();
    }
}
