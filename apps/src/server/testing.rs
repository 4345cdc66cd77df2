//! A server whose model says the last line of the prompt again.

mod echo;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use llama::{AdapterChoice, ChatTemplate, Limits, Scheduler, Tokenizer};
use rag::{
    Answer, AnswerOptions, Answerer, BagOfWords, Cited, Document, EvidenceFinder, EvidenceWeights, Examples,
    Hit, IndexOptions, Intent, Intents, Outcome, Recognised, Replies, Retriever, Scores,
};
use serde_json::Value;
use tower::ServiceExt;

use crate::embeddings::Embeddings;
use crate::http::Edge;
use crate::http::auth::Gate;
use crate::http::cors::Origins;
use crate::http::headers::Framing;
use crate::http::limits::RateLimits;
use crate::http::metrics::Metrics;
use crate::http::shutdown::Shutdown;
use crate::key_ring::KeyRing;
use crate::models::ServedModel;
use crate::openai::ApiSettings;
use crate::prompt::{Grounding, PromptWriter};
use crate::routes::app;
use crate::state::{AnswerStream, AppState, Parts, Shared};
use crate::store::Store;
use echo::Echo;
pub use echo::FATAL;

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

/// An answer about opening hours.
pub fn answer() -> Answer {
    let hit = Hit {
        text: "We open at 9.".into(),
        title: "Hours".into(),
        source: "hours.md".into(),
        scores: Scores { dense: 0.25, lexical: 0.125, fused: 0.5 },
        ..Hit::default()
    };
    let cited = Cited { text: hit.text.clone(), passage: 0, range: 0..13, probability: 0.9 };
    Answer {
        text: "We open at 9. [1]".into(),
        outcome: Outcome::Answered,
        recognised: Recognised { intent: Intent::Question, confidence: 1.0, nearest: String::new() },
        language: "en".into(),
        sentences: vec![cited],
        passages: vec![hit],
        no_answer: 0.1,
        searched: String::new(),
    }
}

/// A knowledge base of two articles, whose embedder knows words only.
fn knowledge() -> Arc<Answerer> {
    let document = |id: &str, title: &str, text: &str| Document {
        id: id.into(),
        title: title.into(),
        text: text.into(),
        source: format!("{id}.md"),
        ..Document::default()
    };
    let documents = [
        document("hours", "Hours", "We open at 9."),
        document("delivery", "Delivery", "Express delivery costs £8.90 per order."),
    ];
    let retriever =
        Retriever::of(&documents, Box::new(BagOfWords::default()), IndexOptions::default(), None).unwrap();
    let intents = Intents::new(Examples::shipped().unwrap(), retriever.embedder(), None).unwrap();
    let finder = EvidenceFinder::new(EvidenceWeights::plain());
    let options = AnswerOptions::default();
    Arc::new(Answerer::new(retriever, finder, intents, Replies::shipped().unwrap(), options))
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
pub struct StepGate {
    running: Receiver<()>,
    _leave: Sender<()>,
}

impl StepGate {
    /// Waits until the model is about to compute a step.
    pub fn wait_until_running(&self) {
        self.running.recv().unwrap();
    }

    /// Lets all further steps pass.
    pub fn open(self) {}
}

impl Server {
    fn new(model: Echo, limits: Limits, knowledge: Option<Arc<Answerer>>) -> Self {
        Self::with(model, limits, knowledge, |_| ())
    }

    fn with(
        model: Echo,
        limits: Limits,
        knowledge: Option<Arc<Answerer>>,
        adapt: impl FnOnce(&mut AppState),
    ) -> Self {
        let (heard, steps) = (model.heard.clone(), model.steps.clone());
        let prompts = prompts();
        let scheduler = Scheduler::start(model, prompts.tokenizer.clone(), limits).unwrap();
        let store = Store::in_memory().unwrap();
        let metrics = Arc::new(Metrics::new("0", "echo").unwrap());
        let shutdown = Shutdown::default();
        let address = [127, 0, 0, 1].into();
        let limits = RateLimits::new(None);
        let edge = Edge {
            gate: Gate::new(KeyRing::new(store.clone()), address, limits.clone()),
            origins: Origins::default(),
            framing: Framing::new(&[]),
            metrics: metrics.clone(),
            time_limit: Duration::from_secs(60),
        };
        let parts =
            Parts { model: "echo".into(), prompts, scheduler, knowledge, store, metrics, limits, shutdown };
        let mut state = AppState::new(parts);
        adapt(&mut state);
        let state = Arc::new(state);
        Self { app: edge.wrap(app(state.clone())), state, heard, steps }
    }

    /// A server without knowledge base.
    pub fn without_knowledge() -> Self {
        Self::new(Echo::default(), Limits::default(), None)
    }

    /// A server with other settings.
    pub fn with_settings(settings: ApiSettings) -> Self {
        Self::with(Echo::default(), Limits::default(), None, |state| state.settings = settings)
    }

    /// A server with an adapter that is asked in capital letters, and an embedder that measures texts.
    pub fn with_extras() -> Self {
        Self::with(Echo::default(), Limits::default(), None, |state| {
            let shouting =
                "{% for message in messages %}{{ message.content | upper }}{{ '\\n' }}{% endfor %}";
            let template = Some(ChatTemplate::new(shouting, "", "").unwrap());
            state.adapters.push(ServedModel {
                name: "owner/shouting".into(),
                adapter: AdapterChoice::Base,
                prompts: PromptWriter { template, ..prompts() },
            });
            state.embeddings = Some(Embeddings {
                model: "ruler".into(),
                dimensions: 2,
                max_tokens: 10,
                embed: Box::new(|text| Ok(vec![text.len() as f32, 0.5])),
                count_tokens: Box::new(|text| Ok(text.len())),
            });
        })
    }

    /// A server whose chats are written by another template.
    pub fn with_template(source: &str) -> Self {
        let template = Some(ChatTemplate::new(source, "", "").unwrap());
        Self::with(Echo::default(), Limits::default(), None, |state| state.prompts.template = template)
    }

    /// A server that runs one request and queues one, and whose model waits for leave.
    pub fn gated() -> (Self, StepGate) {
        let (running, is_running) = mpsc::channel();
        let (leave, has_leave) = mpsc::channel();
        let model = Echo { gate: Some((running, has_leave)), ..Echo::default() };
        let limits = Limits { running: 1, queue: 1, ..Limits::default() };
        (Self::new(model, limits, None), StepGate { running: is_running, _leave: leave })
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
        let prompt = self.state.prompts.raw(prompt, true).unwrap();
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

    /// The response to a request without body.
    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Status and JSON of a request without body.
    pub async fn call(&self, method: &str, path: &str) -> (StatusCode, Value) {
        json(self.request(method, path, &[]).await).await
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
