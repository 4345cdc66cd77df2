use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::Method;
use serde_json::Value;

use super::{EngineState, Metrics};

const DASHBOARD: &str = include_str!("../../../../assets/grafana.json");
const ALERTS: &str = include_str!("../../../../assets/alerts.yml");

fn metrics() -> Metrics {
    let metrics = Metrics::new("0.1.0", "smollm2").unwrap();
    metrics.count_request("/v1/ask", &Method::POST, 200, Duration::from_millis(30));
    metrics.count_tokens("", 40, 64);
    metrics.time_to_first_token.observe(0.1);
    metrics
}

fn state() -> EngineState {
    EngineState {
        waiting: 3,
        cache_blocks_used: 10,
        cache_blocks: 40,
        block_len: 16,
        prompt_tokens: 100,
        adapters: vec!["support".into(), "returns".into()],
        most_adapters: 8,
        ..EngineState::default()
    }
}

async fn text(metrics: &Metrics, state: &EngineState) -> String {
    let response = metrics.answer(state).unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Names of the samples in a text, without their labels.
fn names(text: &str) -> HashSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[tokio::test]
async fn what_is_counted_and_set_can_be_read() {
    let (metrics, mut state) = (metrics(), state());
    text(&metrics, &state).await;
    state.prompt_tokens = 130;
    let text = text(&metrics, &state).await;
    for line in [
        r#"hearth_http_requests_total{method="POST",route="/v1/ask",status="200"} 1"#,
        r#"hearth_http_request_duration_seconds_bucket{method="POST",route="/v1/ask",le="0.05"} 1"#,
        r#"hearth_tokens_total{adapter="",direction="generated"} 64"#,
        "hearth_requests_waiting 3",
        "hearth_cache_usage_ratio 0.25",
        "hearth_prompt_tokens_total 130",
        r#"hearth_answers_total{outcome="no_answer"} 0"#,
        "hearth_time_to_first_token_seconds_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn methods_that_a_client_makes_up_are_one_series() {
    let metrics = metrics();
    for method in ["AAA", "AAB"] {
        metrics.count_request("unmatched", &method.parse().unwrap(), 405, Duration::ZERO);
    }
    let text = text(&metrics, &state()).await;
    assert!(text.contains(r#"{method="other",route="unmatched",status="405"} 2"#), "{text}");
}

#[tokio::test]
async fn the_gateway_finds_its_names() {
    let response = metrics().gateway_answer(&state()).unwrap();
    let text = String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
    for line in [
        "vllm:num_requests_waiting 3",
        "vllm:num_requests_running 0",
        "vllm:kv_cache_usage_perc 0.25",
        r#"vllm:cache_config_info{block_size="16",num_gpu_blocks="40"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let lora = r#"vllm:lora_requests_info{max_lora="8",running_lora_adapters="support,returns",waiting_lora_adapters=""} "#;
    assert!(text.contains(lora), "{text}");
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let text = text(&metrics(), &state()).await;
    let names = names(&text);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 10, "{queries:?}");
    let mut asked = 0;
    for query in queries.into_iter().chain([ALERTS]) {
        let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in words.filter(|word| word.starts_with("hearth_")) {
            assert!(names.contains(name), "{name} of {query}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}

/// Runs where `promtool` is installed, as it is in CI.
#[tokio::test]
async fn promtool_has_no_objection() {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        return;
    };
    let text = text(&metrics(), &state()).await;
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&said));
}
