//! What the server counts and measures, as Prometheus reads it.

mod gateway;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::error::ApiError;

/// Upper bounds of times from a cached answer to one that is far too slow, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The model's state when it is asked for: what its scheduler knows, in the words of the metrics.
#[derive(Clone, Debug, Default)]
pub struct EngineState {
    /// Requests that wait for their first step.
    pub waiting: usize,
    /// Requests that generate.
    pub running: usize,
    /// Blocks of the key/value cache in use.
    pub cache_blocks_used: usize,
    /// Blocks of the key/value cache.
    pub cache_blocks: usize,
    /// Tokens of a block.
    pub block_len: usize,
    /// Prompt tokens so far, since the start.
    pub prompt_tokens: u64,
    /// Those of them that were in the cache already.
    pub reused_tokens: u64,
    /// Steps of the model so far.
    pub steps: u64,
    /// Adapters that are loaded.
    pub adapters: Vec<String>,
    /// Adapters that may be loaded.
    pub most_adapters: usize,
}

/// All metrics. A clone of an `Arc` of it is given to whoever measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests whose answers have not ended.
    pub requests_in_flight: IntGauge,
    /// Open connections.
    pub connections: IntGauge,
    /// Connections that were closed or turned away because too many were open.
    pub connections_refused: IntCounter,
    /// Time until the first token of a generated answer.
    pub time_to_first_token: Histogram,
    /// Time for each further token.
    pub time_per_token: Histogram,
    /// Time a request waited for the model.
    pub queue_time: Histogram,
    /// Time to find passages.
    pub retrieval_time: Histogram,
    requests: IntCounterVec,
    request_time: HistogramVec,
    outcomes: IntCounterVec,
    handoffs: IntCounterVec,
    feedback: IntCounterVec,
    refused: IntCounterVec,
    errors: IntCounterVec,
    tokens: IntCounterVec,
    engine: EngineMetrics,
}

/// Metrics that are set from an [`EngineState`].
#[derive(Debug)]
struct EngineMetrics {
    waiting: IntGauge,
    running: IntGauge,
    cache_used: IntGauge,
    cache_size: IntGauge,
    cache_ratio: Gauge,
    prompt_tokens: IntCounter,
    reused_tokens: IntCounter,
    steps: IntCounter,
    /// What the counters were last set to, since a counter can only be added to.
    seen: Mutex<[u64; 3]>,
}

/// Registers metrics; the names and labels are fixed here, so that an error is one of this file.
struct Builder(Registry);

impl Builder {
    fn add<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn times(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
    }
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// If two metrics have the same name, or one an invalid name.
    pub fn new(version: &str, model: &str) -> prometheus::Result<Self> {
        let build = Builder(Registry::new());
        let info = build.add(IntGaugeVec::new(
            Opts::new("hearth_build_info", "The server's version and the name of its model"),
            &["version", "model"],
        ))?;
        info.with_label_values(&[version, model]).set(1);
        let started =
            build.gauge("hearth_start_time_seconds", "When the server started, in seconds since 1970")?;
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64);
        let request_time = HistogramOpts::new(
            "hearth_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer",
        );
        let metrics = Self {
            requests_in_flight: build
                .gauge("hearth_http_requests_in_flight", "Requests whose answers have not ended")?,
            connections: build.gauge("hearth_http_connections", "Open connections")?,
            connections_refused: build.counter(
                "hearth_http_connections_refused_total",
                "Connections closed or turned away because too many were open",
            )?,
            time_to_first_token: build.times(
                "hearth_time_to_first_token_seconds",
                "Time from a request to the first token of its generated answer",
            )?,
            time_per_token: build
                .times("hearth_time_per_output_token_seconds", "Time for each token after the first")?,
            queue_time: build.times("hearth_queue_seconds", "Time that a request waited for the model")?,
            retrieval_time: build
                .times("hearth_retrieval_seconds", "Time to find passages for a question")?,
            requests: build.counters(
                "hearth_http_requests_total",
                "Requests by route, method and status",
                &["route", "method", "status"],
            )?,
            request_time: build
                .add(HistogramVec::new(request_time.buckets(SECONDS.to_vec()), &["route", "method"]))?,
            outcomes: build.counters(
                "hearth_answers_total",
                "Questions by what became of them: answered, no_answer, talk or handoff",
                &["outcome"],
            )?,
            handoffs: build.counters(
                "hearth_handoffs_total",
                "Conversations given to a person",
                &["reason"],
            )?,
            feedback: build.counters(
                "hearth_feedback_total",
                "Ratings of answers: up or down",
                &["rating"],
            )?,
            refused: build.counters(
                "hearth_refused_total",
                "Requests refused before any work, by reason, such as overloaded or rate_limit_exceeded",
                &["reason"],
            )?,
            errors: build.counters(
                "hearth_errors_total",
                "Failures of the server, by where: model, retrieval, store or internal",
                &["kind"],
            )?,
            tokens: build.counters(
                "hearth_tokens_total",
                "Tokens read from prompts and generated, by adapter",
                &["direction", "adapter"],
            )?,
            engine: EngineMetrics::new(&build)?,
            registry: build.0.clone(),
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Shows the usual series from the start: a rate needs a first value.
    fn start_at_zero(&self) {
        for outcome in ["answered", "no_answer", "talk", "handoff"] {
            self.outcomes.with_label_values(&[outcome]);
        }
        for reason in ["no_answer", "asked_for_a_person"] {
            self.handoffs.with_label_values(&[reason]);
        }
        for rating in ["up", "down"] {
            self.feedback.with_label_values(&[rating]);
        }
        for reason in ["overloaded", "rate_limit_exceeded"] {
            self.refused.with_label_values(&[reason]);
        }
        for kind in ["model", "retrieval", "store", "internal"] {
            self.errors.with_label_values(&[kind]);
        }
    }

    pub(super) fn count_request(&self, route: &str, method: &Method, status: u16, took: Duration) {
        // A client can send any word as its method; each would be a series of its own.
        let usual = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS];
        let method = if usual.contains(method) { method.as_str() } else { "other" };
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.request_time.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// Counts a question by its outcome, as the API names it.
    pub fn count_outcome(&self, outcome: &str) {
        self.outcomes.with_label_values(&[outcome]).inc();
    }

    /// Counts a conversation given to a person.
    pub fn count_handoff(&self, reason: &str) {
        self.handoffs.with_label_values(&[reason]).inc();
    }

    /// Counts a rating.
    pub fn count_feedback(&self, is_good: bool) {
        self.feedback.with_label_values(&[if is_good { "up" } else { "down" }]).inc();
    }

    /// Counts a request that was refused before any work. `reason` is one of few fixed words.
    pub fn count_refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a failure of the server.
    pub fn count_error(&self, kind: &'static str) {
        self.errors.with_label_values(&[kind]).inc();
    }

    /// Counts an answer's tokens. `adapter` is empty for the model alone.
    pub fn count_tokens(&self, adapter: &str, prompt: u64, generated: u64) {
        self.tokens.with_label_values(&["prompt", adapter]).inc_by(prompt);
        self.tokens.with_label_values(&["generated", adapter]).inc_by(generated);
    }

    /// `GET /metrics`: everything, in Prometheus' text format.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn answer(&self, engine: &EngineState) -> Result<Response, ApiError> {
        self.engine.set(engine);
        as_text(&self.registry)
    }

    /// `GET /metrics/gateway`: the model's state under the names that Kubernetes' inference gateway reads by
    /// default, which are vLLM's. They have colons, which `promtool` objects to, and so are not in `/metrics`.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn gateway_answer(&self, engine: &EngineState) -> Result<Response, ApiError> {
        gateway::registry(engine)
            .map_err(|error| ApiError::internal(error.to_string()))
            .and_then(|registry| as_text(&registry))
    }
}

fn as_text(registry: &Registry) -> Result<Response, ApiError> {
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    let text = text.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

impl EngineMetrics {
    fn new(build: &Builder) -> prometheus::Result<Self> {
        Ok(Self {
            waiting: build.gauge("hearth_requests_waiting", "Requests that wait for the model")?,
            running: build.gauge("hearth_requests_running", "Requests that the model answers now")?,
            cache_used: build.gauge("hearth_cache_blocks_used", "Blocks of the key/value cache in use")?,
            cache_size: build.gauge("hearth_cache_blocks", "Blocks of the key/value cache")?,
            cache_ratio: build
                .add(Gauge::new("hearth_cache_usage_ratio", "Share of the key/value cache in use, 0 to 1"))?,
            prompt_tokens: build
                .counter("hearth_prompt_tokens_total", "Tokens of prompts, reused ones included")?,
            reused_tokens: build.counter(
                "hearth_prefix_reused_tokens_total",
                "Tokens of prompts whose keys and values were in the cache",
            )?,
            steps: build.counter("hearth_steps_total", "Steps of the model")?,
            seen: Mutex::default(),
        })
    }

    fn set(&self, state: &EngineState) {
        self.waiting.set(state.waiting as i64);
        self.running.set(state.running as i64);
        self.cache_used.set(state.cache_blocks_used as i64);
        self.cache_size.set(state.cache_blocks as i64);
        self.cache_ratio.set(state.cache_usage());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = [state.prompt_tokens, state.reused_tokens, state.steps];
        let counters = [&self.prompt_tokens, &self.reused_tokens, &self.steps];
        for ((counter, seen), now) in counters.into_iter().zip(&mut *seen).zip(now) {
            counter.inc_by(now.saturating_sub(*seen));
            *seen = now.max(*seen);
        }
    }
}

impl EngineState {
    /// Share of the cache in use.
    fn cache_usage(&self) -> f64 {
        match self.cache_blocks {
            0 => 0.0,
            blocks => self.cache_blocks_used as f64 / blocks as f64,
        }
    }
}

#[cfg(test)]
mod tests;
