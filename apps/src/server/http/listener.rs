//! Accepts connections, as many as fit, and ends them in order.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Activity, Connection, Timeouts};
use super::metrics::Metrics;
use super::shutdown::{Shutdown, Stage};

/// How long streams have for their last event, after the grace period.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait after the system refused a connection, as it does when there are too many open files.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a connection beyond the limit may wait for its client.
const SURPLUS_WAIT: Duration = Duration::from_secs(2);

/// What the listener allows.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// Connections that are served. Beyond it the one that has waited longest for its client is closed.
    pub connections: usize,
    /// Connections beyond those, which answer `/health` once and 503 to the rest.
    pub surplus: usize,
    /// A connection that has waited less than this for its client is not closed to make room.
    pub spared: Duration,
    /// How long a client may keep the server waiting.
    pub timeouts: Timeouts,
    /// How long answers under way may take after the signal to stop.
    pub grace: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            connections: 512, // with files and the surplus below the usual limit of 1,024 open files
            surplus: 32,
            spared: Duration::from_secs(1),
            timeouts: Timeouts::default(),
            grace: Duration::from_secs(10),
        }
    }
}

/// Listens for connections and serves them.
pub struct Listener {
    /// What is served at the moment: a placeholder while the model loads, then the application.
    pub app: watch::Receiver<Router>,
    /// What is allowed.
    pub options: ListenerOptions,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

impl Listener {
    /// Serves until the shutdown says to stop. Gives the number of connections that were cut.
    pub async fn serve(self, listener: TcpListener) -> usize {
        let mut server = Server {
            listener: self,
            usual: Open::default(),
            surplus: Open::default(),
            tasks: JoinSet::new(),
        };
        server.accept(listener).await;
        server.drain().await
    }
}

struct Server {
    listener: Listener,
    usual: Open,
    surplus: Open,
    tasks: JoinSet<()>,
}

impl Server {
    /// Accepts until the server drains. The listening socket is closed at the end.
    async fn accept(&mut self, listener: TcpListener) {
        let shutdown = self.listener.shutdown.clone();
        let draining = shutdown.reached(Stage::Draining);
        let mut draining = std::pin::pin!(draining);
        loop {
            tokio::select! {
                biased;
                () = &mut draining => return,
                Some(_) = self.tasks.join_next() => {} // forgets those that have ended
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        self.usual.close_longest_waiting(Duration::ZERO);
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Listener { app, options, shutdown, metrics } = &self.listener;
        let full = self.usual.len() >= options.connections;
        if full {
            metrics.connections_refused.inc(); // this one, or the one that makes room
        }
        let fits = !full || self.usual.close_longest_waiting(options.spared);
        let mut timeouts = options.timeouts;
        if !fits {
            timeouts.idle = timeouts.idle.min(SURPLUS_WAIT);
            timeouts.header = timeouts.header.min(SURPLUS_WAIT);
            // One that sends its request at once, as a probe does, is past waiting before many others come.
            if self.surplus.len() >= options.surplus && !self.surplus.close_longest_waiting(Duration::ZERO) {
                return;
            }
        }
        let open = if fits { &self.usual } else { &self.surplus };
        let place = open.enter();
        let connection = Connection {
            peer,
            app: app.clone(),
            activity: place.activity.clone(),
            timeouts,
            shutdown: shutdown.clone(),
            surplus: !fits,
        };
        let open = Counted::begin(metrics.connections.clone());
        self.tasks.spawn(async move {
            connection.serve(stream).await;
            drop((place, open));
        });
    }

    /// Waits for the connections to end, and cuts those that do not.
    async fn drain(mut self) -> usize {
        let shutdown = self.listener.shutdown.clone();
        let ended = async {
            let ended = async { while self.tasks.join_next().await.is_some() {} };
            let mut ended = std::pin::pin!(ended);
            if timeout(self.listener.options.grace, &mut ended).await.is_err() {
                shutdown.advance(Stage::Closing);
                timeout(LAST_WORDS, ended).await.ok();
            }
        };
        tokio::select! {
            () = ended => {}
            () = shutdown.reached(Stage::Stopped) => {}
        }
        shutdown.advance(Stage::Stopped);
        while self.tasks.try_join_next().is_some() {}
        let cut = self.tasks.len();
        self.tasks.shutdown().await;
        cut
    }
}

/// Errors that say something about the connection that was to be accepted, not about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One in a gauge, until it is dropped, as it also is with a task that is cut.
struct Counted(IntGauge);

impl Counted {
    fn begin(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The connections that are open.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    next: u64,
    taken: HashMap<u64, Arc<Activity>>,
}

impl Open {
    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.places().taken.len()
    }

    fn enter(&self) -> Place {
        let activity = Arc::new(Activity::new());
        let mut places = self.places();
        let number = places.next;
        places.next += 1;
        places.taken.insert(number, activity.clone());
        Place { open: self.clone(), number, activity }
    }

    /// Closes the connection that has waited longest for its client, and `least` or longer. Its place is free
    /// at once. Says whether there was one.
    fn close_longest_waiting(&self, least: Duration) -> bool {
        let mut places = self.places();
        let waiting =
            places.taken.iter().filter_map(|(number, activity)| Some((activity.waiting_since()?, *number)));
        match waiting.min() {
            Some((since, number)) if Instant::now() - since >= least => {
                if let Some(activity) = places.taken.remove(&number) {
                    activity.give_way();
                }
                true
            }
            _ => false,
        }
    }
}

/// A connection's place among those that are open; left on drop.
struct Place {
    open: Open,
    number: u64,
    activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.places().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod drain_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
