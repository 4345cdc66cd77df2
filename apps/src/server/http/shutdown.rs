//! The stages of stopping, which the listener and every event stream follow.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::watch;

/// How far the server has stopped. A stage is never left for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requests are taken.
    Running,
    /// No connection is accepted; answers under way go on, streams without an end must end.
    Draining,
    /// The grace period is over: every stream must send its last event now.
    Closing,
    /// Everything is dropped.
    Stopped,
}

/// The stage, shared by everything that must know it.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<Stage>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Running))
    }
}

impl Shutdown {
    /// The present stage.
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Goes on to `stage`, unless that is reached already.
    pub fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let later = *now < stage;
            *now = stage.max(*now);
            later
        });
    }

    /// Waits until `stage` or a later one is reached.
    pub async fn reached(&self, stage: Stage) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        self.0.subscribe().wait_for(|&now| now >= stage).await.ok();
    }

    /// The items of `stream` until it ends or `stage` is reached; in the latter case `last` is the last item.
    ///
    /// A feed without an end takes [`Stage::Draining`], an answer that has one [`Stage::Closing`].
    pub fn end_stream<S, F>(
        &self,
        stage: Stage,
        stream: S,
        last: F,
    ) -> impl Stream<Item = S::Item> + Send + use<S, F>
    where
        S: Stream + Send + 'static,
        S::Item: Send,
        F: FnOnce() -> S::Item + Send + 'static,
    {
        let shutdown = self.clone();
        let stopped: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { shutdown.reached(stage).await });
        let running = Some((Box::pin(stream), stopped, last));
        stream::unfold(running, async |running| {
            let (mut stream, mut stopped, last) = running?;
            tokio::select! {
                biased;
                // What is ready goes out before the end.
                item = stream.next() => item.map(|item| (item, Some((stream, stopped, last)))),
                () = &mut stopped => Some((last(), None)),
            }
        })
    }

    /// Drains at the first Ctrl-C or SIGTERM and stops at the second. Never ends before that.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub async fn follow_signals(self) -> std::io::Result<()> {
        let mut signals = Signals::listen()?;
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        self.advance(Stage::Draining);
        signals.next().await;
        tracing::warn!("stopped by a second signal");
        self.advance(Stage::Stopped);
        Ok(())
    }
}

/// Ctrl-C and, where there is one, SIGTERM. Listens from its creation on, so that none is lost in between.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt};

    use super::{Shutdown, Stage};

    #[tokio::test]
    async fn a_feed_without_an_end_ends_with_its_last_event() {
        let shutdown = Shutdown::default();
        let feed = stream::iter([1, 2]).chain(stream::pending());
        let mut feed = Box::pin(shutdown.end_stream(Stage::Draining, feed, || 99));
        assert_eq!(feed.next().await, Some(1));
        shutdown.advance(Stage::Draining);
        assert_eq!(feed.next().await, Some(2), "what was ready is not lost");
        assert_eq!(feed.next().await, Some(99));
        assert_eq!(feed.next().await, None);
    }

    #[tokio::test]
    async fn an_answer_goes_on_while_the_server_drains() {
        let shutdown = Shutdown::default();
        shutdown.advance(Stage::Draining);
        let answer = stream::iter([1, 2, 3]);
        let answer: Vec<_> = shutdown.end_stream(Stage::Closing, answer, || 99).collect().await;
        assert_eq!(answer, [1, 2, 3]);
    }

    #[tokio::test]
    async fn no_stage_is_left_for_an_earlier_one() {
        let shutdown = Shutdown::default();
        shutdown.advance(Stage::Stopped);
        shutdown.advance(Stage::Draining);
        assert_eq!(shutdown.stage(), Stage::Stopped);
        shutdown.reached(Stage::Closing).await;
    }
}
