//! A server whose model says the last line of the prompt again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use engine::{AdapterId, EngineError};
use llama::{Adapter, ChatTemplate, LanguageModel, Limits, Scheduler, SequencePart, Tokenizer};
use rag::{Hit, Scores};
use serde_json::Value;
use tower::ServiceExt;

use crate::prompt::{Grounding, PromptWriter};
use crate::routes::app;
use crate::state::{AnswerStream, AppState, Search, Shared};

/// The end token of the tests' tokenizer, whose other tokens are bytes.
const END: u32 = 256;
/// A prompt with this byte fails.
const BELL: u32 = 7;
/// A prompt on which the model panics.
pub const FATAL: &str = "\u{6}";
/// Most tokens of prompt and answer together.
const CONTEXT: usize = 1024;

/// The model.
#[derive(Default)]
struct Echo {
    sequences: HashMap<usize, Vec<u32>>,
    opened: usize,
    /// The prompts that it has read to their ends.
    heard: Arc<Mutex<Vec<String>>>,
    steps: Arc<AtomicUsize>,
    /// Has seen [`FATAL`].
    fatal: bool,
    /// Tells the test that a step is about to run, and waits until the test allows it.
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl LanguageModel for Echo {
    type Sequence = usize;

    fn vocab_size(&self) -> usize {
        258
    }

    fn context_length(&self) -> usize {
        CONTEXT
    }

    fn block_len(&self) -> usize {
        16
    }

    fn free_blocks(&self) -> usize {
        1024
    }

    fn open(&mut self, _adapter: Option<AdapterId>, _tokens: &[u32]) -> (usize, usize) {
        self.opened += 1;
        self.sequences.insert(self.opened, Vec::new());
        (self.opened, 0)
    }

    fn truncate(&mut self, sequence: usize, len: usize) -> Result<(), EngineError> {
        self.sequences.entry(sequence).or_default().truncate(len);
        Ok(())
    }

    fn reset(&mut self) {
        assert!(!self.fatal, "a fatal prompt"); // which ends the model's thread
        self.sequences.clear();
    }

    fn load_adapter(&mut self, _adapter: Adapter) -> Result<AdapterId, EngineError> {
        Err(EngineError::Adapter("an echo has no projections".into()))
    }

    fn unload_adapter(&mut self, _adapter: AdapterId) {}

    fn close(&mut self, sequence: usize) {
        self.sequences.remove(&sequence);
    }

    fn step(&mut self, parts: &[SequencePart<'_, usize>]) -> Result<Vec<f32>, EngineError> {
        if let Some((running, leave)) = &self.gate {
            running.send(()).ok();
            leave.recv().ok();
        }
        self.steps.fetch_add(1, Ordering::Relaxed);
        let mut logits = Vec::new();
        for part in parts {
            if part.tokens.contains(&BELL) {
                return Err(EngineError::Token { token: BELL, vocab_size: 258 });
            }
            self.fatal |= part.tokens.contains(&u32::from(FATAL.as_bytes()[0]));
            assert!(!self.fatal, "a fatal prompt");
            for (index, token) in part.tokens.iter().enumerate() {
                let history = self.sequences.entry(part.sequence).or_default();
                history.push(*token);
                if index + part.outputs < part.tokens.len() {
                    continue;
                }
                let bytes: Vec<u8> = history.iter().map(|&token| token as u8).collect();
                let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
                let [.., last, said] = lines.as_slice() else {
                    logits.extend((0..258).map(|token| (token % 7) as f32));
                    continue;
                };
                if said.is_empty() && part.outputs == 1 {
                    self.heard.lock().unwrap().push(String::from_utf8_lossy(&bytes).into());
                }
                let next = last.get(said.len()).map_or(END, |&byte| byte.into());
                logits.extend((0..258).map(|token| if token == next { 9.0 } else { 0.0 }));
            }
        }
        Ok(logits)
    }
}

/// Prompts of a chat model: each message a line.
pub fn prompts() -> PromptWriter {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/letters");
    let template =
        "{% for message in messages %}{{ message.role }}: {{ message.content }}{{ '\\n' }}{% endfor %}";
    PromptWriter {
        tokenizer: Tokenizer::from_dir(&folder).unwrap(),
        template: Some(ChatTemplate::new(template, "", "").unwrap()),
        grounding: Grounding::Chat,
    }
}

/// A knowledge base of two passages, the second too long for the context.
fn knowledge() -> Search {
    Box::new(|_question, k| {
        let hit = |title: &str, text: String, source: &str| Hit {
            text,
            title: title.into(),
            source: source.into(),
            scores: Scores { dense: 0.25, lexical: 0.125, fused: 0.5 },
            ..Hit::default()
        };
        let mut hits = vec![
            hit("Hours", "We open at 9.".into(), "hours.md"),
            hit("Story", "A long story. ".repeat(99), "story.md"),
        ];
        hits.truncate(k);
        Ok(hits)
    })
}

/// The application, with channels to control and observe its model.
pub struct Server {
    state: Shared,
    app: Router,
    heard: Arc<Mutex<Vec<String>>>,
    steps: Arc<AtomicUsize>,
}

/// A server.
pub fn server() -> Server {
    Server::new(Echo::default(), Limits::default(), Some(knowledge()))
}

/// Lets a gated model's steps pass.
pub struct Gate {
    running: Receiver<()>,
    _leave: Sender<()>,
}

impl Gate {
    /// Waits until the model is about to compute a step.
    pub fn wait_until_running(&self) {
        self.running.recv().unwrap();
    }

    /// Lets all further steps pass.
    pub fn open(self) {}
}

impl Server {
    fn new(model: Echo, limits: Limits, search: Option<Search>) -> Self {
        let (heard, steps) = (model.heard.clone(), model.steps.clone());
        let prompts = prompts();
        let scheduler = Scheduler::start(model, prompts.tokenizer.clone(), limits).unwrap();
        let state = Arc::new(AppState::new("echo".into(), prompts, scheduler, search));
        Self { app: app(state.clone()), state, heard, steps }
    }

    /// A server without knowledge base.
    pub fn without_knowledge() -> Self {
        Self::new(Echo::default(), Limits::default(), None)
    }

    /// A server that runs one request and queues one, and whose model waits for leave.
    pub fn gated() -> (Self, Gate) {
        let (running, is_running) = mpsc::channel();
        let (leave, has_leave) = mpsc::channel();
        let model = Echo { gate: Some((running, has_leave)), ..Echo::default() };
        let limits = Limits { running: 1, queue: 1, ..Limits::default() };
        (Self::new(model, limits, None), Gate { running: is_running, _leave: leave })
    }

    /// The application's state.
    pub fn state(&self) -> Shared {
        self.state.clone()
    }

    /// Prompts that the model read to their ends.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Steps that the model computed.
    pub fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// Hands a raw prompt to the model, past HTTP.
    pub fn submit(&self, prompt: &str) -> AnswerStream {
        let prompt = self.state.prompts.raw(prompt).unwrap();
        self.state.submit(llama::Request::new(prompt, 10)).unwrap()
    }

    /// The response to a POST.
    pub async fn send(&self, path: &str, body: String) -> Response {
        let request = Request::post(path).body(Body::from(body)).unwrap();
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Status and JSON of a POST.
    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.post_text(path, &body.to_string()).await
    }

    /// The same with any body.
    pub async fn post_text(&self, path: &str, body: &str) -> (StatusCode, Value) {
        json(self.send(path, body.to_string()).await).await
    }

    /// Status and JSON of a GET.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        json(self.app.clone().oneshot(request).await.unwrap()).await
    }
}

async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Content type and data of an event stream.
pub async fn events(response: Response) -> (String, Vec<String>) {
    let content_type = response.headers()["content-type"].to_str().unwrap().to_string();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let data = |event: &str| event.strip_prefix("data: ").map(str::to_string);
    (content_type, text.split("\n\n").filter_map(data).collect())
}
