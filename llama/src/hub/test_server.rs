//! An HTTP server on this machine, for tests of downloads.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A server that answers each request by calling a function, until it is dropped.
pub(super) struct Server {
    address: String,
    stop: Arc<AtomicBool>,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
    thread: Option<JoinHandle<()>>,
}

/// A client's request.
pub(super) struct Request {
    pub path: String,
    headers: Vec<(String, String)>,
}

/// The server's answer.
pub(super) struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    cut_after: usize,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (stopped, asked) = (stop.clone(), ranges.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.unwrap();
                if let Some(request) = Request::read(&stream) {
                    asked.lock().unwrap().push(request.range());
                    answer(&request).write(stream);
                }
            }
        });
        Self { address, stop, ranges, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first byte that each request asked for.
    pub fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let path = lines.next()?.split(' ').nth(1)?.to_string();
        let headers = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_lowercase(), value.trim().to_string()))
            })
            .collect();
        Some(Self { path, headers })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The first byte that is asked for.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

impl Reply {
    pub fn ok(body: &str) -> Self {
        Self { status: 200, headers: vec![], body: body.into(), cut_after: usize::MAX }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }

    /// The part of `body` that the request asks for.
    pub fn range_of(body: &str, request: &Request) -> Self {
        match request.range() {
            None => Self::ok(body),
            Some(start) if start < body.len() => Self {
                status: 206,
                headers: vec![format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len())],
                ..Self::ok(&body[start..])
            },
            Some(_) => Self::status(416),
        }
    }

    /// With one more header line.
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.into());
        self
    }

    /// The connection ends after this many bytes of the body.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { cut_after: bytes, ..self }
    }

    fn write(self, mut stream: TcpStream) {
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for header in self.headers {
            head += &format!("{header}\r\n");
        }
        head += "Connection: close\r\n\r\n";
        let body = &self.body[..self.body.len().min(self.cut_after)];
        // Ignored: the client may have gone away.
        drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
    }
}
