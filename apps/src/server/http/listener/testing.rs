//! A listener on a free port, and a client that sends what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::connection::Timeouts;
use super::super::metrics::Metrics;
use super::super::shutdown::Shutdown;
use super::{Listener, ListenerOptions};

/// Far longer than anything here takes, so that a test that hangs fails.
const HANGS: Duration = Duration::from_secs(30);

/// Times so long that a test in which one of them passes fails.
pub const PATIENT: ListenerOptions = ListenerOptions {
    connections: 512,
    surplus: 8,
    spared: Duration::from_secs(600),
    timeouts: Timeouts {
        idle: Duration::from_secs(600),
        header: Duration::from_secs(600),
        body: Duration::from_secs(600),
        write: Duration::from_secs(600),
    },
    grace: Duration::from_secs(600),
};

/// A time that passes in a test.
pub const SHORT: Duration = Duration::from_millis(60);

pub struct Running {
    pub address: SocketAddr,
    pub app: watch::Sender<Router>,
    pub shutdown: Shutdown,
    pub metrics: Arc<Metrics>,
    pub served: JoinHandle<usize>,
}

impl Running {
    pub async fn start(options: ListenerOptions, routes: impl FnOnce(&Shutdown) -> Router) -> Self {
        let shutdown = Shutdown::default();
        let (app, receiver) = watch::channel(routes(&shutdown));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new("0", "none").unwrap());
        let listener =
            Listener { app: receiver, options, shutdown: shutdown.clone(), metrics: metrics.clone() };
        Self { address, app, shutdown, metrics, served: tokio::spawn(listener.serve(socket)) }
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a request on a new connection, and gives all that comes back until the server closes it.
    pub async fn once(&self, request: &str) -> String {
        let mut client = self.connect().await;
        let close = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        client.send(&close).await;
        client.rest().await
    }

    /// Connections that were cut.
    pub async fn ended(self) -> usize {
        tokio::time::timeout(HANGS, self.served).await.expect("the server does not end").unwrap()
    }
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `end` has come.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut piece = [0; 1024];
        while !text.contains(end) {
            let read = tokio::time::timeout(HANGS, self.0.read(&mut piece)).await;
            let length = read.unwrap_or_else(|_| panic!("no {end:?} after {text:?}")).unwrap();
            assert!(length > 0, "closed without {end:?} after {text:?}");
            text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        text
    }

    /// Everything until the server closes the connection, which it must.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(HANGS, self.0.read_to_end(&mut bytes)).await;
        read.expect("the connection stays open").ok(); // closed or reset
        String::from_utf8(bytes).unwrap()
    }
}
